import { expect, test } from 'vitest';
import { checkedTools, isSameToolList } from '../../src/gateway/tool_list.ts';
import { silentLogger } from '../../src/kernel/logger.ts';

const schema = { type: 'object' };
const checked = (...raw: unknown[]) => checkedTools(raw as never, silentLogger);

test('tools that cannot be pinned are left out: two of one name, no schema, no canonical form', () => {
  let deep: unknown = {};
  for (let level = 0; level < 200; level += 1) deep = { deep };
  const list = checked(
    { name: 'good', inputSchema: schema, 'x-own': 1 },
    { name: 'twice', inputSchema: schema },
    { name: 'twice', inputSchema: schema, description: 'the other one' },
    { name: 'bare' },
    { inputSchema: schema },
    { name: '', inputSchema: schema },
    { name: 'lone', inputSchema: schema, description: '\ud800' },
    { name: 'deep', inputSchema: deep },
    'text',
    null,
  );
  expect(list.tools).toEqual([{ name: 'good', inputSchema: schema, 'x-own': 1 }]);
});

test('lists are the same whatever the order, and differ by any member', () => {
  const one = { name: 'a', inputSchema: schema };
  const two = { name: 'b', inputSchema: schema };
  expect(isSameToolList(checked(one, two), checked({ inputSchema: schema, name: 'b' }, one))).toBe(true);
  expect(isSameToolList(checked(one, two), checked(one))).toBe(false);
  expect(isSameToolList(checked(one), checked({ ...one, 'x-vendor': 1 }))).toBe(false);
});
