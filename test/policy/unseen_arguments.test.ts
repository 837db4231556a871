import { expect, test } from 'vitest';
import type { JsonObject } from '../../src/kernel/json.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { PERMIT_TASK_TOOLS, setOf, tool } from './scenario.ts';

const text = { type: 'string' };
const forbid = (condition: string) =>
  `${PERMIT_TASK_TOOLS}\n@id("no") forbid (principal, action == Action::"call", resource) when { ${condition} };`;
const compile = (condition: string, ...properties: JsonObject[]) =>
  compilePolicy(setOf(forbid(condition)), {
    name: 's',
    tools: properties.map((declared, index) => tool(`t${index}`, declared)),
  });

// A condition on what has no Cedar type is never true: the forbid would be silently lifted.
test.each<[string, string, JsonObject[]]>([
  [
    'whose type differs between tools',
    'context.input has path && context.input.path == "x"',
    [{ path: text }, { path: { type: 'integer' } }],
  ],
  [
    'of which a member has no type of Cedar',
    'context.input has options && context.input.options has rules',
    [{ options: { type: 'object', properties: { mode: text, rules: { type: 'array', items: { type: 'object' } } } } }],
  ],
  [
    'of which a member has another type in another tool',
    'context.input has options && context.input.options has mode && context.input.options.mode == "x"',
    [
      { options: { type: 'object', properties: { mode: text } } },
      { options: { type: 'object', properties: { mode: { type: 'integer' } } } },
    ],
  ],
])('a policy that asks for an argument %s does not fit the server', (_, condition, properties) => {
  const compiled = compile(condition, ...properties);
  expect(compiled.ok).toBe(false);
  if (!compiled.ok) expect(compiled.refusal[0]?.policy_id).toBe('no');
});

test('what no policy asks for may be without a type', () => {
  const properties = { path: text, edits: { type: 'array', items: { type: 'object' } } };
  expect(compile('context.input has path && context.input.path == "x"', properties)).toMatchObject({ ok: true });
});
