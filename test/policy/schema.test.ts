import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../src/kernel/json.ts';
import { decideCall } from '../../src/policy/decide.ts';
import { PolicyEngine } from '../../src/policy/engine.ts';
import { generateSchema } from '../../src/policy/schema.ts';
import { compiled, PERMIT_TASK_TOOLS, request, tool } from './scenario.ts';

const engine = new PolicyEngine();

function projectionOf(properties: JsonObject, args: JsonObject) {
  return generateSchema({ name: 's', tools: [tool('t', properties)] }).projectArguments('t', args);
}

describe('arguments in types of Cedar', () => {
  const whole = { type: 'integer' };
  const text = { type: 'string' };
  const decimal = (arg: string) => ({ __extn: { fn: 'decimal', arg } });
  test.each<[string, JsonObject, JsonObject, unknown]>([
    ['integer', { a: whole }, { a: -0 }, { a: 0 }],
    ['number', { a: { type: 'number' } }, { a: 240.5 }, { a: decimal('240.5000') }],
    ['string by enum', { a: { enum: ['x', 'y'] } }, { a: 'x' }, { a: 'x' }],
    ['list of plain values', { a: { type: 'array', items: text } }, { a: ['x'] }, { a: ['x'] }],
    ['object', { a: { type: 'object', properties: { b: whole } } }, { a: { b: 1, c: 2 } }, { a: { b: 1 } }],
    ['null is absence', { a: { type: ['string', 'null'] } }, { a: null }, {}],
    ['nullable by anyOf', { a: { anyOf: [text, { type: 'null' }] } }, { a: 'x' }, { a: 'x' }],
    ['undeclared is left out', { a: whole }, { a: 1, b: 2 }, { a: 1 }],
    ['opaque is left out', { a: { type: 'array', items: { type: 'object' } } }, { a: [{}] }, {}],
  ])('%s', (_, properties, args, input) => expect(projectionOf(properties, args)).toEqual({ ok: true, value: input }));

  test('a reference within the schema is followed, one in a circle is opaque', () => {
    const definition = (properties: JsonObject, $defs: JsonObject) => ({
      definition: { name: 't', inputSchema: { type: 'object', properties, $defs } },
      risk: 'read' as const,
    });
    const node = { type: 'object', properties: { next: { $ref: '#/$defs/node' } } };
    const server = {
      name: 's',
      tools: [definition({ a: { $ref: '#/$defs/a' }, b: { $ref: '#/$defs/node' } }, { a: { type: 'integer' }, node })],
    };
    const { opaque, projectArguments } = generateSchema(server);
    expect(projectArguments('t', { a: 1 })).toEqual({ ok: true, value: { a: 1 } });
    expect(opaque).toEqual([expect.objectContaining({ why: expect.stringContaining('nested deeper') })]);
  });

  test.each<[string, JsonObject, JsonObject, string]>([
    ['a text for a number', { a: { type: 'integer' } }, { a: '100' }, '/a'],
    ['a fraction for a whole number', { a: { type: 'integer' } }, { a: 1.5 }, '/a'],
    ['five fractional digits', { a: { type: 'number' } }, { a: 0.00001 }, '/a'],
    ['more than a decimal holds', { a: { type: 'number' } }, { a: 1e300 }, '/a'],
    ['one wrong element', { a: { type: 'array', items: { type: 'string' } } }, { a: ['x', 1] }, '/a/1'],
    ['a wrong member', { a: { type: 'object', properties: { b: { type: 'boolean' } } } }, { a: { b: 'true' } }, '/a/b'],
  ])('refused: %s', (_, properties, args, pointer) => {
    expect(projectionOf(properties, args)).toMatchObject({ ok: false, refusal: { pointer } });
    const policy = compiled(PERMIT_TASK_TOOLS, { name: 'billing', tools: [tool('read_file', properties)] });
    const decision = decideCall(engine, policy, request('read_file', args));
    expect(decision).toMatchObject({ kind: 'deny', code: 'policy_denied', message: expect.stringContaining(pointer) });
  });
});

describe('names that Cedar reads as its own', () => {
  const nested = { a: { b: [{ __extn: { fn: 'decimal', arg: '1.0' } }] } };
  test.each<[string, JsonObject]>([
    ['__entity', { order: { __entity: { type: 'Person', id: 'prs_alice' } } }],
    ['__extn, deep inside what policies do not see', nested],
    ['__proto__', JSON.parse('{"__proto__":{"order":1}}') as JsonObject],
  ])('%s in an argument is refused', (_, args) => {
    const policy = compiled(PERMIT_TASK_TOOLS);
    expect(decideCall(engine, policy, request('show-order', args))).toMatchObject({
      kind: 'deny',
      message: expect.stringContaining('reserved'),
    });
  });

  test('in a schema they are opaque', () => {
    const server = { name: 's', tools: [tool('t', { __entity: { type: 'string' }, ok: { type: 'string' } })] };
    expect(generateSchema(server).opaque).toEqual([{ tool: 't', pointer: '/__entity', why: 'its name is reserved' }]);
  });
});

describe('what policies see of a whole server', () => {
  const server = {
    name: 'billing',
    tools: [
      tool('read_file', { 'weird "name".with-signs/and ünïcode': { type: 'string' }, id: { type: 'integer' } }),
      tool('write_file', {
        id: { type: 'string' },
        edits: { type: 'array', items: { type: 'object', properties: {} } },
      }),
    ],
  };

  test('an argument that tools declare differently is opaque for all, and reported', () => {
    expect(generateSchema(server).opaque).toEqual([
      { tool: 'read_file', pointer: '/id', why: 'tools of this server declare it with different types' },
      { tool: 'write_file', pointer: '/id', why: 'tools of this server declare it with different types' },
      { tool: 'write_file', pointer: '/edits', why: expect.stringContaining('list') },
    ]);
    const policy = compiled(PERMIT_TASK_TOOLS, server);
    expect(decideCall(engine, policy, request('write_file', { id: 'x', edits: [{ any: 1 }] })).kind).toBe('permit');
  });

  test('a policy can ask for an argument of any name, and for nothing another tool calls the same', () => {
    const policy = compiled(
      `${PERMIT_TASK_TOOLS} @id("weird") forbid (principal, action == Action::"call", resource)
       when { context.input has "weird \\"name\\".with-signs/and ünïcode" };`,
      server,
    );
    const args = { 'weird "name".with-signs/and ünïcode': '' };
    expect(decideCall(engine, policy, request('read_file', args))).toMatchObject({ determining: ['weird'] });
    expect(decideCall(engine, policy, request('write_file', args))).toMatchObject({ kind: 'permit' });
  });
});

test('amounts are compared as decimals', () => {
  const policy = compiled(`${PERMIT_TASK_TOOLS}
    @id("large") forbid (principal, action == Action::"call", resource)
    when { context.input has amount && context.input.amount.greaterThan(decimal("1000.00")) };`);
  expect(decideCall(engine, policy, request('refund.create', { amount: 1000 })).kind).toBe('permit');
  expect(decideCall(engine, policy, request('refund.create', { amount: 1000.01 })).kind).toBe('deny');
});
