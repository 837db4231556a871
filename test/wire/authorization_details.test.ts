import { expect, test } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import { type AuthorizationDetail, parseAuthorizationDetails } from '../../src/wire/authorization_details.ts';

const task: AuthorizationDetail = { type: 'mcp_task', task_id: newId('tsk') };
const call: AuthorizationDetail = {
  type: 'mcp_tool_call',
  resource: 'https://files.example/mcp',
  tool: 'write_file',
  action_digest: 'a'.repeat(43),
};

test('both types pass unchanged', () => {
  expect(parseAuthorizationDetails([task, call])).toEqual({ ok: true, value: [task, call] });
  expect(parseAuthorizationDetails([])).toEqual({ ok: true, value: [] });
});

test.each([
  ['not an array', task, 'authorization_details is refused'],
  ['an unknown type', [{ type: 'payment' }], '/0/type'],
  ['no type', [{}], '/0/type'],
  ['an unknown member', [task, { ...call, extra: 1 }], '/1 is refused'],
  ['the id of something else', [{ ...task, task_id: newId('agt') }], '/0/task_id'],
  ['a missing tool', [{ ...call, tool: '' }], '/0/tool'],
  ['a resource that is no address', [{ ...call, resource: 'files' }], '/0/resource'],
  ['a digest of another form', [{ ...call, action_digest: 'a'.repeat(44) }], '/0/action_digest'],
  ['too many', new Array(17).fill(task), 'authorization_details is refused'],
])('%s is refused and the place is named', (_, value, place) => {
  const result = parseAuthorizationDetails(value);
  expect(result).toMatchObject({ ok: false, refusal: { code: 'request_invalid' } });
  expect(!result.ok && result.refusal.message).toContain(place);
});
