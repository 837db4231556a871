import { describe, expect, test } from 'vitest';
import { caseFoldedDuplicate, type JsonLimits, parseStrictJson } from '../../src/kernel/strict_json.ts';

function parsed(input: string | Uint8Array, limits?: Partial<JsonLimits>): unknown {
  const result = parseStrictJson(input, limits);
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}

function problem(input: string | Uint8Array, limits?: Partial<JsonLimits>): string {
  const result = parseStrictJson(input, limits);
  if (result.ok) throw new Error(`accepted as ${JSON.stringify(result.value)}`);
  return `${result.refusal.code}: ${result.refusal.message}`;
}

const bytes = (...values: number[]) => Uint8Array.from(values);

describe('what it accepts is what JSON.parse makes of it', () => {
  test.each([
    'null',
    ' true ',
    'false',
    '""',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9 é 😀 \\ud83d\\ude00"',
    '[]',
    '{}',
    '[1,[2,[3]],{"a":[]}]',
    '{"a":{"b":[{"c":null}]},"":1,"constructor":2,"toString":3,"hasOwnProperty":4}',
    '\t{ "a" :\r\n [ 1 , 2 ] }\n',
    '"\u007f\u2028\ufeff"',
    '{"1":1,"0":0,"é":1,"e\u0301":2}',
  ])('%s', (text) => {
    expect(parsed(text)).toEqual(JSON.parse(text));
    expect(parsed(new TextEncoder().encode(text))).toEqual(JSON.parse(text));
  });

  test.each([
    ['0', 0],
    ['-1', -1],
    ['1.0', 1],
    ['1e2', 100],
    ['1.50E+1', 15],
    ['0.1', 0.1],
    ['0.10', 0.1],
    ['0e400', 0],
    ['0.0', 0],
    ['0.30000000000000004', 0.30000000000000004],
    ['9007199254740991', 9007199254740991],
    ['-9007199254740991', -9007199254740991],
    ['9007199254740991.0', 9007199254740991],
    ['1e-7', 1e-7],
    ['5e-324', 5e-324],
    ['0.000001', 0.000001],
    ['123456789.125', 123456789.125],
    [`0.${'0'.repeat(300)}1`, 1e-301],
    [`1${'0'.repeat(20)}e-20`, 1],
  ])('number %s', (text, value) => expect(parsed(text)).toBe(value));
});

describe('what it refuses', () => {
  test.each([
    ['', 'too early'],
    ['{"a":1', 'comma or a closing brace'],
    ['[1', 'comma or a closing bracket'],
    ['[1,]', 'no JSON value'],
    ['{"a":1,}', 'name in quotes'],
    ['{a:1}', 'name in quotes'],
    ['{"a" 1}', 'colon'],
    ['"a', 'does not end'],
    ['"\\', 'escape'],
    ['"\\x41"', 'escape'],
    ['"\\u00g0"', 'four hexadecimal'],
    ['"\\u+041"', 'four hexadecimal'],
    ['"\\u004', 'four hexadecimal'],
    ['"\n"', 'control character'],
    ['"\\n\u0000"', 'control character'],
    ["'a'", 'no JSON value'],
    ['nul', 'no JSON value'],
    ['nullx', 'after the end'],
    ['NaN', 'no JSON value'],
    ['undefined', 'no JSON value'],
    ['/* c */ 1', 'no JSON value'],
    ['1 2', 'after the end'],
    ['\u00a01', 'no JSON value'],
    ['01', 'after the end'],
    ['1.', 'after the end'],
    ['-', 'not written as JSON'],
    ['+1', 'no JSON value'],
    ['.5', 'no JSON value'],
    ['0x10', 'after the end'],
  ])('broken JSON %j', (text, what) => expect(problem(text)).toContain(what));

  test.each([
    ['-0', 'negative zero'],
    ['-0.0', 'negative zero'],
    ['-0e5', 'negative zero'],
    ['1e400', 'too large'],
    ['-1e400', 'too large'],
    ['1e-400', 'too small'],
    ['9007199254740992', '2^53-1'],
    ['-9007199254740993', '2^53-1'],
    ['9007199254740993.5', '2^53-1'],
    ['1e16', '2^53-1'],
    ['1e300', '2^53-1'],
    ['9007199254740991.4', 'does not survive'],
    ['0.10000000000000001', 'does not survive'],
    ['3.14159265358979323846', 'does not survive'],
    ['4.9e-324', 'does not survive'],
  ])('unsafe number %s', (text, what) => expect(problem(`{"a":[${text}]}`)).toContain(what));

  test.each([
    '{"a":1,"a":2}',
    '{"a":1,"b":{},"\\u0061":2}',
    '[{"x":{"":1,"":2}}]',
    '{"1":1,"1":2}',
    '{"constructor":1,"constructor":1}',
  ])('duplicate name %s', (text) => expect(problem(text)).toContain('appears twice'));

  test.each(['{"__proto__":1}', '[{"a":{"\\u005f_proto__":{}}}]', '{"a":[{"__proto__":null}]}'])(
    '__proto__ in %s',
    (text) => expect(problem(text)).toContain('__proto__ is not allowed'),
  );

  test.each(['"\ud800"', '"\\ud800"', '"\\udc00\\ud800"', '{"\\udfff":1}', '["a\\ud83d","\\ude00"]', '\ud800'])(
    'lone surrogate %j',
    (text) => expect(problem(text)).toContain('lone surrogate'),
  );

  test.each([
    [bytes(0x22, 0xff, 0x22), 'UTF-8'],
    [bytes(0x22, 0xc0, 0x80, 0x22), 'UTF-8'],
    [bytes(0x22, 0xed, 0xa0, 0x80, 0x22), 'UTF-8'],
    [bytes(0xff, 0xfe, 0x31, 0x00), 'UTF-8'],
    [bytes(0xef, 0xbb, 0xbf, 0x31), 'byte order mark'],
  ])('bytes %j', (input, what) => expect(problem(input)).toContain(what));
  test('a byte order mark in text', () => expect(problem('\ufeff1')).toContain('byte order mark'));
});

describe('limits', () => {
  test('bytes are counted, not characters', () => {
    expect(parsed('"éé"', { bytesMax: 6 })).toBe('éé');
    expect(problem('"ééx"', { bytesMax: 6 })).toBe('body_too_large: The JSON has 7 bytes; at most 6 are read.');
    expect(problem(`"${'a'.repeat(1024 * 1024)}"`)).toContain('body_too_large');
  });

  test('depth 64 passes, 65 does not', () => {
    expect(parsed('['.repeat(64) + ']'.repeat(64))).toBeDefined();
    expect(problem('['.repeat(65) + ']'.repeat(65))).toContain('nested deeper than 64');
    expect(problem(`${'{"a":'.repeat(65)}1${'}'.repeat(65)}`)).toContain('nested deeper than 64');
  });

  test('siblings do not add to the depth', () => {
    expect(parsed(`[${'[[]],'.repeat(100)}{"a":{}}]`, { depthMax: 3 })).toBeDefined();
  });

  test('values are counted', () => {
    expect(parsed('[1,2,3]', { nodesMax: 4 })).toEqual([1, 2, 3]);
    expect(problem('[1,2,3,4]', { nodesMax: 4 })).toContain('more than 4 values');
  });
});

describe('names equal but for case', () => {
  const refuse = { caseFoldedNames: 'refuse' } as const;
  test.each([
    ['{"path":1,"Path":2}', '/Path'],
    ['{"a":[{"straße":1,"STRASSE":2}]}', '/a/0/STRASSE'],
    ['{"k":1,"\u212a":2}', '/\u212a'],
    ['{"files":1,"file\u017f":2}', '/file\u017f'],
  ])('%s', (text, pointer) => {
    expect(caseFoldedDuplicate(parsed(text) as never)).toBe(pointer);
    expect(problem(text, refuse)).toContain('equals another one but for case');
  });

  test('the same name in different objects is no duplicate', () => {
    expect(caseFoldedDuplicate(parsed('{"a":{"A":1},"b":[{"a":1},{"A":1}]}', refuse) as never)).toBeNull();
  });
});

test('an error names the place, printable and bounded', () => {
  expect(problem('{"a/b":[1,{"~\u202e\u001b":-0}]}'.replace('\u001b', '\\u001b'))).toBe(
    'json_invalid: The JSON is refused at offset 22 in "/a~1b/1/~0\\u202e\\u001b": ' +
      'negative zero has no agreed meaning; write 0.',
  );
  expect(problem(`{"${'n'.repeat(100_000)}":-0}`).length).toBeLessThan(400);
});

test('an error does not repeat a value', () => {
  expect(problem('{"password":"hunter2\\q"}')).not.toContain('hunter2');
});

test('it agrees with JSON.parse on 2,000 mutations of one document, or refuses', () => {
  const source = '{"a":[1,-2.5e1,{"b":"c\\u0041\\n"},null,true],"d":{"e":"é😀","f":[[],{}]}}';
  const alphabet = '{}[]",:\\u0123456789eE+-.truefalsn \n';
  let seed = 7;
  const next = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  let acceptedCount = 0;
  for (let round = 0; round < 2_000; round += 1) {
    const at = next(source.length);
    const text = source.slice(0, at) + alphabet[next(alphabet.length)] + source.slice(at + next(2));
    const result = parseStrictJson(text);
    if (!result.ok) continue;
    acceptedCount += 1;
    expect(result.value).toEqual(JSON.parse(text));
  }
  expect(acceptedCount).toBeGreaterThan(100);
});
