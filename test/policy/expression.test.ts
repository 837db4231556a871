import { expect, test } from 'vitest';
import { combineReads } from '../../src/policy/expression.ts';
import { setOf } from './scenario.ts';

function readsOf(condition: string) {
  return setOf(`@id("p") permit (principal, action, resource) when { ${condition} };`).policies[0]!.reads;
}

// What is not read is not handed to Cedar; a name missed here would be an argument a policy cannot see.
test.each<[string, readonly string[] | 'all']>([
  ['true', []],
  ['context.input has path && context.input.path like "*"', ['path']],
  ['context.input has a.b.c', ['a']],
  ['context.input.a.b.c == 1', ['a']],
  ['context["input"]["odd name"] == 1', ['odd name']],
  ['if context.input has a then context.input.b == 1 else [context.input.c].contains(2)', ['a', 'b', 'c']],
  ['decimal("1.0").lessThan(context.input.amount)', ['amount']],
  ['{"x": context.input.a}.x == 1', ['a']],
  ['context.input == context.input', 'all'],
  ['[context.input].contains(context.input)', 'all'],
  ['(if true then context.input else context.input) has path', 'all'],
  ['{"x": context.input}.x.path == "/"', 'all'],
  ['context has input && context.input has path', 'all'],
  ['context has input.path', 'all'],
])('reads of the arguments: %s', (condition, names) => {
  const { input } = readsOf(condition);
  expect(input === 'all' ? input : [...input].sort()).toEqual(names);
});

test.each<[string, 'requested' | 'all']>([
  ['context.task.tools.contains(resource)', 'requested'],
  ['!(context.task.tools.contains(resource)) || context.task.depth > 1', 'requested'],
  ['context.task.tools.contains(Tool::"s/t")', 'all'],
  ['context.task.tools.containsAny([resource])', 'all'],
  ['context.task.tools.isEmpty()', 'all'],
  ['context.task has tools', 'all'],
  ['[context.task.tools].contains(context.task.tools)', 'all'],
  ['(if context.task.tools.isEmpty() then context.task else context.task).tools.contains(resource)', 'all'],
])('reads of the tools of a task: %s', (condition, tools) => expect(readsOf(condition).tools).toBe(tools));

test('a set reads what any of its policies reads', () => {
  const one = { input: new Set(['a']), tools: 'requested' } as const;
  expect(combineReads([one, { input: new Set(['b']), tools: 'all' }])).toEqual({
    input: new Set(['a', 'b']),
    tools: 'all',
  });
  expect(combineReads([one, { input: 'all', tools: 'requested' }])).toEqual({ input: 'all', tools: 'requested' });
});
