import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../src/kernel/json.ts';
import { undeclaredArguments } from '../../src/wire/undeclared_arguments.ts';

const text = { type: 'string' };
const object = (properties: JsonObject, rest: JsonObject = {}): JsonObject => ({ type: 'object', properties, ...rest });

describe('names that a schema declares', () => {
  test.each<[string, JsonObject, JsonObject]>([
    ['by properties', object({ path: text }), { path: '/a' }],
    ['by nested properties', object({ a: object({ b: text }) }), { a: { b: 'x' } }],
    ['by items', object({ edits: { type: 'array', items: object({ old: text }) } }), { edits: [{ old: 'x' }] }],
    [
      'by prefixItems, then items',
      object({ pair: { prefixItems: [object({ a: text })], items: object({ b: text }) } }),
      { pair: [{ a: 'x' }, { b: 'x' }, { b: 'y' }] },
    ],
    ['by additionalProperties: true, all inside', object({}, { additionalProperties: true }), { a: { b: [{ c: 1 }] } }],
    ['by additionalProperties: {}', object({}, { additionalProperties: {} }), { a: { b: 1 } }],
    [
      'by a schema in additionalProperties',
      object({}, { additionalProperties: object({ b: text }) }),
      { x: { b: '' } },
    ],
    [
      'by a local reference',
      object({ a: { $ref: '#/$defs/a~1b' } }, { $defs: { 'a/b': object({ c: text }) } }),
      { a: { c: '' } },
    ],
    [
      'by a reference to itself',
      object({ child: { $ref: '#' }, name: text }),
      { child: { child: { name: '' } }, name: '' },
    ],
    [
      'by any branch',
      { anyOf: [object({ a: text }), object({ b: text })], allOf: [object({ c: text })], oneOf: [object({ d: text })] },
      { a: '', b: '', c: '', d: '' },
    ],
    [
      'by properties next to additionalProperties: false',
      { allOf: [object({ a: text }, { additionalProperties: false }), object({ b: text })] },
      { a: '', b: '' },
    ],
  ])('%s', (_, schema, args) => expect(undeclaredArguments(schema, args)).toEqual([]));
});

describe('names that it does not', () => {
  test.each<[string, JsonObject, JsonObject, string[]]>([
    ['an extra name, though JSON Schema is open by default', object({ path: text }), { path: '', evil: 1 }, ['/evil']],
    ['any name without properties', { type: 'object' }, { a: 1, b: 2 }, ['/a', '/b']],
    ['a nested name', object({ a: object({ b: text }) }), { a: { b: '', c: 1 } }, ['/a/c']],
    [
      'a name in an item',
      object({ l: { items: object({ a: text }) } }),
      { l: [{ a: '' }, { 'b/c': 1 }] },
      ['/l/1/b~1c'],
    ],
    [
      'a name past prefixItems',
      object({ l: { prefixItems: [object({ a: text })] } }),
      { l: [{}, { a: 1 }] },
      ['/l/1/a'],
    ],
    ['a name inside a value of no schema', object({ a: {}, b: true }), { a: { x: 1 }, b: { y: 1 } }, ['/a/x', '/b/y']],
    ['a name inside a text', object({ a: text }), { a: { x: 1 } }, ['/a/x']],
    ['additionalProperties: false', object({ a: text }, { additionalProperties: false }), { b: 1 }, ['/b']],
    ['a property that is false', object({ a: false }), { a: 1 }, ['/a']],
    ['another case', object({ path: text }), { Path: '' }, ['/Path']],
    [
      'names every object has',
      object({}),
      { constructor: 1, toString: 1, hasOwnProperty: 1 },
      ['/constructor', '/toString', '/hasOwnProperty'],
    ],
    ['patternProperties', { patternProperties: { '.*': text } }, { a: '' }, ['/a']],
    ['else', { if: false, else: object({ a: text }) }, { a: '' }, ['/a']],
    ['a remote reference', object({ a: { $ref: 'https://example.com/s' } }), { a: { x: 1 } }, ['/a/x']],
    ['a reference to nowhere', object({ a: { $ref: '#/$defs/no' } }), { a: { x: 1 } }, ['/a/x']],
    ['a broken reference', object({ a: { $ref: '#/%' } }), { a: { x: 1 } }, ['/a/x']],
    ['a reference to what every object has', object({ a: { $ref: '#/constructor' } }), { a: { x: 1 } }, ['/a/x']],
  ])('%s', (_, schema, args, expected) => expect(undeclaredArguments(schema, args)).toEqual(expected));
});

test('references in a circle end', () => {
  const schema = { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { anyOf: [{ $ref: '#/$defs/a' }] } } };
  expect(undeclaredArguments(schema, { x: 1 })).toEqual(['/x']);
});
