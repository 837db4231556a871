import { expect, test } from 'vitest';
import { AgentError, callTool, outcomeOf, readA2A, type ToolCaller } from '../../src/agent/index.ts';
import { A2A_EXTENSION_URI } from '../../src/wire/a2a_extension.ts';
import { type RefusalCode, refusal, refusalBody } from '../../src/wire/refusals.ts';

const refusedWith = (code: RefusalCode, detail = {}) => ({
  isError: true,
  _meta: { 'countersign/refusal': refusalBody(refusal(code, `Said: ${code}.`, detail)) },
});

test.each([
  ['step_up_denied', { kind: 'denied', reason: 'Not paid.', stepUpId: 'stp_x' }],
  ['denied_recently', { kind: 'denied' }],
  ['step_up_expired', { kind: 'expired', stepUpId: 'stp_x' }],
  ['step_up_withdrawn', { kind: 'expired' }],
  ['outcome_unknown', { kind: 'unknown' }],
  ['unavailable', { kind: 'unavailable', code: 'unavailable' }],
  ['rate_limited', { kind: 'unavailable', code: 'rate_limited' }],
  ['policy_denied', { kind: 'refused', code: 'policy_denied' }],
  ['budget_used_up', { kind: 'refused', code: 'budget_used_up' }],
  ['outside_delegation', { kind: 'refused', code: 'outside_delegation' }],
  ['peer_unknown', { kind: 'refused', code: 'peer_unknown' }],
] as const)('%s is a value of its own kind', (code, expected) => {
  expect(outcomeOf(refusedWith(code, { step_up_id: 'stp_x', reason: 'Not paid.' }))).toMatchObject(expected);
});

test('a result without a word of the guard is done, an error of the tool too; a replay says when it ran', () => {
  const own = { isError: true, content: [] };
  expect(outcomeOf(own)).toEqual({ kind: 'done', result: own, replayedFrom: undefined });
  const at = '2026-11-23T10:00:00.000Z';
  const replayed = (outcome: string) => ({ _meta: { 'countersign/replayed': { redeemed_at: at, outcome } } });
  expect(outcomeOf(replayed('done'))).toMatchObject({ kind: 'done', replayedFrom: new Date(at) });
  expect(outcomeOf(replayed('unknown'))).toMatchObject({ kind: 'unknown' });
});

test('what is thrown is a value where it is a refusal, and is thrown on where it is not', async () => {
  const throwing = (error: unknown): ToolCaller<object> => ({ callTool: () => Promise.reject(error) });
  const call = (error: unknown) => callTool(throwing(error), { name: 'x' });
  const ended = new AgentError('task_ended', 'The task has ended.', { next: 'Start a new one.' });
  expect(await call(ended)).toMatchObject({ kind: 'refused', code: 'task_ended', next: 'Start a new one.' });
  expect(await call(new Error('fetch failed', { cause: ended }))).toMatchObject({ code: 'task_ended' });
  expect(await call(new AgentError('unavailable', 'No answer.'))).toMatchObject({ kind: 'unavailable' });
  const data = refusalBody(refusal('tool_server_inactive', 'Not accepted.'));
  expect(await call(Object.assign(new Error('refused'), { data }))).toMatchObject({ code: 'tool_server_inactive' });
  await expect(call(new TypeError('a bug'))).rejects.toThrow('a bug');
});

test('the step-up of an agent is read from its task, from an error, and from nowhere else', () => {
  const step_up = {
    id: 'stp_x',
    state: 'open',
    approval_url: 'http://i/step-ups/stp_x',
    expires_at: '2026-11-23T12:00:00Z',
  };
  const told = { metadata: { [A2A_EXTENSION_URI]: { step_up } } };
  expect(readA2A({ id: 't', status: { state: 8, message: told } })).toMatchObject({
    kind: 'waiting',
    stepUpId: 'stp_x',
  });
  const { id: step_up_id, approval_url, expires_at } = step_up;
  const metadata = { step_up_id, approval_url, expires_at };
  const info = {
    '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
    domain: 'countersign',
    reason: 'STEP_UP_REQUIRED',
    metadata,
  };
  expect(readA2A({ message: 'x', data: [info] })).toMatchObject({ kind: 'waiting', approvalUrl: approval_url });
  expect(readA2A({ message: 'x', data: [{ ...info, domain: 'elsewhere' }] })).toBeNull();
  expect(readA2A({ status: { state: 8, message: { parts: [{ data: { step_up } }] } } })).toBeNull();
});
