import { afterEach, beforeEach, expect, test } from 'vitest';
import { answerOf, type GuardedServer, startGuardedServer } from './guarded_server.ts';

let server: GuardedServer;
beforeEach(async () => {
  server = await startGuardedServer();
});
afterEach(() => server.close());

async function approve(text: string): Promise<void> {
  const asked = await answerOf(await server.call('write_note', { text }));
  expect(asked.result._meta['countersign/step_up']?.state).toBe('open');
  server.issuer.decide(await server.issuer.nextOpen(), 'approved');
}

test('a call pauses, is approved, runs once, and the same call again gets the recorded outcome', async () => {
  const asked = await answerOf(await server.call('write_note', { text: 'hello' }));
  const stepUp = await server.issuer.nextOpen();
  expect(asked.result.isError).toBe(true);
  expect(asked.result.content[0]!.text).toContain(`${server.issuer.url}/step-ups/${stepUp.id}`);
  expect(asked.result._meta['io.modelcontextprotocol/authorization']).toMatchObject({ remediation: 'available' });
  expect(stepUp.arguments).toEqual({ text: 'hello' });
  expect(server.runs).toHaveLength(0);
  server.issuer.decide(stepUp, 'approved');
  const ran = await answerOf(await server.call('write_note', { text: 'hello' }));
  expect(ran.result.content[0]!.text).toBe('wrote hello');
  expect(server.runs).toHaveLength(1);
  expect(stepUp.redemption?.outcome).toBe('done');
  expect(server.runs[0]).toMatchObject({
    idempotencyKey: stepUp.redemption!.id,
    principal: { requester: 'prs_requester', agent: 'agt_one', task: 'tsk_one', redemption_id: stepUp.redemption!.id },
  });
  const replayed = await answerOf(await server.call('write_note', { text: 'hello' }, { id: 2 }));
  expect(replayed.id).toBe(2);
  expect(replayed.result.content[0]!.text).toBe('wrote hello');
  expect(replayed.result._meta['countersign/replayed']?.outcome).toBe('done');
  expect(server.runs).toHaveLength(1);
});

test('T37 one byte of the arguments changed after approval asks anew and runs nothing', async () => {
  await approve('hello');
  for (const text of ['hellp', 'hello ', 'Hello']) {
    const answer = await answerOf(await server.call('write_note', { text }));
    expect(answer.result._meta['countersign/step_up'], text).toBeDefined();
  }
  expect(server.runs).toHaveLength(0);
});

test('T57 a grant is used once: 20 calls at once with the same id run the tool once', async () => {
  await approve('race');
  const answers = await Promise.all(
    Array.from({ length: 20 }, async () => answerOf(await server.call('write_note', { text: 'race' }, { id: 7 }))),
  );
  expect(server.runs).toHaveLength(1);
  expect(answers.filter((answer) => answer.result.content[0]!.text === 'wrote race').length).toBeGreaterThanOrEqual(1);
  const attempts = server.issuer.asked.filter((asked) => asked.what === 'redeem').map((asked) => asked.body.attempt_id);
  expect(new Set(attempts).size, 'every execution has an attempt id of its own').toBe(attempts.length);
  for (const attempt of attempts) expect(attempt).toMatch(/^att_[a-z2-7]{26}$/);
});

test('a lost answer to a redemption is asked for again under the same attempt, and the call runs once', async () => {
  await approve('lost');
  let dropped = 0;
  server.issuer.beforeRedeemAnswer = () => (dropped++ === 0 ? 'drop' : 'answer');
  const answer = await answerOf(await server.call('write_note', { text: 'lost' }));
  expect(answer.result.content[0]!.text).toBe('wrote lost');
  expect(server.runs).toHaveLength(1);
  const attempts = server.issuer.asked.filter((asked) => asked.what === 'redeem').map((asked) => asked.body.attempt_id);
  expect(attempts).toHaveLength(2);
  expect(attempts[0]).toBe(attempts[1]);
});

test('a redemption that is never answered runs nothing', async () => {
  await approve('silent');
  server.issuer.beforeRedeemAnswer = () => 'drop';
  const answer = await answerOf(await server.call('write_note', { text: 'silent' }));
  expect(answer.result._meta['countersign/refusal']?.error).toBe('unavailable');
  expect(server.runs).toHaveLength(0);
});

test('the server down: every call is refused, also permitted ones, and tools are not listed', async () => {
  await approve('down');
  server.issuer.failing.add('/guard/v1');
  for (const name of ['write_note', 'read_notes']) {
    const answer = await answerOf(await server.call(name, name === 'write_note' ? { text: 'down' } : {}));
    expect(answer.result._meta['countersign/refusal']?.error).toBe('unavailable');
  }
  const listed = await answerOf(await server.post('{"jsonrpc":"2.0","id":1,"method":"tools/list"}'));
  expect(listed.error?.data?.error).toBe('unavailable');
  expect(server.runs).toHaveLength(0);
});

test('a denial reaches the agent with its reason, and is no HTTP challenge', async () => {
  await server.call('write_note', { text: 'no' });
  server.issuer.decide(await server.issuer.nextOpen(), 'denied', 'use the draft folder');
  const response = await server.call('write_note', { text: 'no' });
  expect(response.status).toBe(200);
  const answer = await answerOf(response);
  expect(answer.result.content[0]!.text).toContain('use the draft folder');
  expect(answer.result._meta['countersign/refusal']?.error).toBe('step_up_denied');
  expect(server.runs).toHaveLength(0);
});

test('a task that ended is answered 401', async () => {
  server.issuer.denied.set('write_note', 'task_ended');
  const response = await server.call('write_note', { text: 'x' });
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toContain('invalid_token');
});

test('a caller that is gone before redeeming runs nothing, and the grant waits', async () => {
  await approve('gone');
  const caller = new AbortController();
  const { issuer } = server;
  issuer.beforeEvaluateAnswer = async () => {
    caller.abort();
    await new Promise((resolve) => setTimeout(resolve, 100));
  };
  await expect(server.call('write_note', { text: 'gone' }, { signal: caller.signal })).rejects.toThrow();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(server.issuer.count('redeem')).toBe(0);
  expect(server.runs).toHaveLength(0);
  issuer.beforeEvaluateAnswer = null;
  expect((await answerOf(await server.call('write_note', { text: 'gone' }))).result.content[0]!.text).toBe(
    'wrote gone',
  );
});

test('a caller that drops off while the tool runs does not stop it, and the next identical call gets its outcome', async () => {
  await approve('slow');
  const caller = new AbortController();
  let wasAborted = false;
  server.work = async (signal) => {
    caller.abort();
    await new Promise((resolve) => setTimeout(resolve, 200));
    wasAborted = signal.aborted;
  };
  await expect(server.call('write_note', { text: 'slow' }, { signal: caller.signal })).rejects.toThrow();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(wasAborted).toBe(false);
  const answer = await answerOf(await server.call('write_note', { text: 'slow' }));
  expect(answer.result._meta['countersign/replayed']?.outcome).toBe('done');
  expect(answer.result.content[0]!.text).toBe('wrote slow');
  expect(server.runs).toHaveLength(1);
});

test('a tool that fails is recorded as failed', async () => {
  await approve('boom');
  server.work = () => {
    throw new Error('disk full');
  };
  const answer = await answerOf(await server.call('write_note', { text: 'boom' }));
  expect(answer.result.isError).toBe(true);
  expect([...server.issuer.stepUps.values()][0]!.redemption?.outcome).toBe('failed');
});
