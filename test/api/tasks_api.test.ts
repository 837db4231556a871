import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { clientAssertion } from '../../src/wire/client_assertion_rfc7523.ts';
import { GUARD_API } from '../../src/wire/guard_api.ts';
import { startWorld, type World } from '../e2e/world.ts';
import { RawAgent } from './raw_agent.ts';
import { RawGuard } from './raw_guard.ts';
import { expectRefused, snapshot } from './unchanged.ts';

// A real server, and PostgreSQL with the product's settings, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const SECONDS_MAX = 7_200;

let world: World;
let guard: RawGuard;
let pending: RawGuard;
let agent: RawAgent;
let other: RawAgent;
let bounded: RawAgent;

beforeAll(async () => {
  world = await startWorld({
    hasGateway: false,
    config: { purpose_codes: [{ code: 'billing', label: 'Billing' }], 'tasks.seconds_max': SECONDS_MAX },
  });
  guard = await RawGuard.listen(world.issuer, 'notes');
  pending = await RawGuard.listen(world.issuer, 'pending');
  await guard.register();
  await pending.register();
  const page = await world.operator.open(`/tool-servers/${guard.toolServerId}`);
  await world.operator.submit(page, { action: /\/accept$/ });
  agent = await RawAgent.register(world);
  other = await RawAgent.register(world);
  bounded = await RawAgent.register(world, { [guard.toolServerId]: ['read_note'] });
});
afterAll(async () => {
  await guard?.close();
  await pending?.close();
  await world?.close();
});

const request = (changes: object = {}) => ({
  resource: guard.resource,
  tools: ['read_note', 'write_note'],
  purpose: 'Tidy the notes',
  ...changes,
});
const refused = (code: Parameters<typeof expectRefused>[1], changes: object, by = agent) =>
  expectRefused(world.store, code, () => by.start(request(changes)));
const taskOf = (id: string) =>
  world.store.db.selectFrom('tasks').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

describe('starting', () => {
  test('a task is for the owner of the agent, with what was asked for and no more', async () => {
    const { status, body } = await agent.start(
      request({ purpose_code: 'billing', seconds: 600, tools: ['read_note', 'read_note'] }),
    );
    expect(status).toBe(201);
    const task = await taskOf(body.task_id);
    expect(task).toMatchObject({
      requester_id: world.operatorId,
      agent_id: agent.agent.id,
      purpose: 'Tidy the notes',
      purpose_code: 'billing',
      tools: { [guard.toolServerId]: ['read_note'] },
      state: 'active',
    });
    expect(body.expires_at).toBe(task.expires_at.toISOString());
    expect(task.expires_at.getTime() - task.created_at.getTime()).toBeCloseTo(600_000, -3);
  });

  test.each<[Parameters<typeof expectRefused>[1], string, object]>([
    ['tool_unknown', 'an unknown tool', { tools: ['read_note', 'erase_disk'] }],
    ['tool_unknown', 'a name of the prototype', { tools: ['constructor'] }],
    ['request_invalid', 'no tool', { tools: [] }],
    ['request_invalid', 'an unknown tool server', { resource: 'http://127.0.0.1:1/mcp' }],
    ['request_invalid', 'no address', { resource: 'notes' }],
    ['request_invalid', 'an unknown purpose code', { purpose_code: 'other' }],
    ['request_invalid', 'no purpose', { purpose: ' \n ' }],
    ['request_invalid', 'a purpose of 501 characters', { purpose: 'x'.repeat(501) }],
    ['request_invalid', 'U+0000', { purpose: 'a\0' }],
    ['request_invalid', '59 seconds', { seconds: 59 }],
    ['request_invalid', 'more seconds than a task may last', { seconds: SECONDS_MAX + 1 }],
    ['request_invalid', 'a part of a second', { seconds: 60.5 }],
    ['request_invalid', 'seconds as text', { seconds: '600' }],
    ['request_invalid', 'a requester of its own choice', { requester: 'prs_x' }],
  ])('%s: %s', async (code, _what, changes) => {
    await refused(code, changes);
  });

  test('F9: under its Idempotency-Key a request starts one task, however often it comes', async () => {
    const start = async (key: string, changes = {}, by = agent) => {
      const authorization = `Bearer ${await by.apiToken()}`;
      return by.start(request(changes), { authorization, 'idempotency-key': key });
    };
    const [first, raced] = await Promise.all([start('"one"'), start('"one"')]);
    expect([first.status, raced.status]).toEqual([201, 201]);
    expect(raced.body).toEqual(first.body);
    expect((await start('one')).body).toEqual(first.body);
    expect((await start('"two"')).body.task_id).not.toBe(first.body.task_id);
    // Keys belong to the agent that sends them.
    const foreign = await start('"one"', {}, other);
    expect(foreign.body.task_id).not.toBe(first.body.task_id);
    await expectRefused(world.store, 'idempotency_key_reused', () => start('"one"', { purpose: 'Something else' }));
    await expectRefused(world.store, 'request_invalid', () => start('"one", "two"'));
  });

  test('a tool server that waits to be accepted has no tools to give', async () => {
    await refused('tool_unknown', { resource: pending.resource });
  });

  test('an agent gets no tool beyond its bound', async () => {
    await refused('not_allowed', {}, bounded);
    expect((await bounded.start(request({ tools: ['read_note'] }))).status).toBe(201);
  });

  test('only agents that are active and registered start tasks, with a token for this', async () => {
    const send = (headers: Record<string, string>) => () => agent.start(request(), headers);
    const missing = await expectRefused(world.store, 'token_missing', send({}));
    expect(missing.headers.get('www-authenticate')).toMatch(/^Bearer/);
    await expectRefused(world.store, 'token_invalid', send({ authorization: 'Bearer x' }));
    const guardToken = await guard.token();
    await expectRefused(world.store, 'token_wrong_audience', send({ authorization: `Bearer ${guardToken}` }));
    await expectRefused(world.store, 'token_wrong_audience', send({ authorization: `DPoP ${guardToken}` }));
    const taskToken = await agent.taskToken(guard, await agent.startTask(guard));
    await expectRefused(world.store, 'token_wrong_audience', send({ authorization: `Bearer ${taskToken}` }));
    const asked = await guard.askForToken({ resource: `${world.issuer}/api/v1`, scope: 'tasks' });
    expect(asked.body.error).toBe('invalid_target');
    const apiToken = await agent.apiToken();
    const authorization = `DPoP ${apiToken}`;
    const proof = await guard.proof(GUARD_API.evaluate, { accessToken: apiToken });
    const answer = await guard.send(GUARD_API.evaluate, { body: {}, token: apiToken, proof });
    expect(answer.body.error).toBe('token_wrong_audience');
    expect(authorization).toContain('DPoP');
  });

  test('a suspended agent starts nothing, though its token is still good', async () => {
    const suspended = await RawAgent.register(world);
    await suspended.apiToken();
    const { db } = world.store;
    await db.updateTable('agents').set({ state: 'suspended' }).where('id', '=', suspended.agent.id).execute();
    await refused('agent_inactive', {}, suspended);
  });

  test('a token that the agent revoked starts nothing', async () => {
    const careful = await RawAgent.register(world);
    const token = await careful.apiToken();
    const proof = await clientAssertion(
      careful.key,
      { clientId: careful.agent.client_id, issuer: world.issuer },
      new Date(),
    );
    const form = new URLSearchParams({ token, ...proof });
    expect((await fetch(`${world.issuer}/revoke`, { method: 'POST', body: form })).status).toBe(200);
    await refused('token_invalid', {}, careful);
  });
});

describe('tokens of a task', () => {
  test('name the task, its agent and its requester, for one tool server, no longer than the task', async () => {
    const { body } = await agent.start(request({ seconds: 60 }));
    const answer = await agent.askForTaskToken(guard, body.task_id);
    expect(answer.body.authorization_details).toEqual([{ type: 'mcp_task', task_id: body.task_id }]);
    expect(answer.body.expires_in).toBeLessThanOrEqual(60);
    expect(decodeJwt(answer.body.access_token)).toMatchObject({
      sub: world.operatorId,
      aud: guard.resource,
      act: { sub: agent.agent.id },
      task: { id: body.task_id, root: body.task_id },
      scope: 'mcp:tools',
    });
  });

  test('are refused for a task of another agent, no task, an unknown one, and a server not in it', async () => {
    const taskId = await other.startTask(guard);
    const own = await agent.startTask(guard);
    const asked = [
      await agent.askForTaskToken(guard, taskId),
      await agent.askForTaskToken(guard, newId('tsk')),
      await agent.askForTaskToken(guard, `${own}' or '1'='1`),
      await agent.askForToken({ resource: guard.resource, scope: 'mcp:tools' }),
    ];
    for (const answer of asked) {
      expect(answer.status).toBe(400);
      expect(answer.body.error).toBe('invalid_authorization_details');
    }
    // An id of somebody else is not confirmed.
    expect(asked[0]!.body).toEqual(asked[1]!.body);
    expect((await agent.askForTaskToken(pending, own)).body.error).toBe('invalid_target');
  });

  test('end with it: none is issued, and one from before opens nothing', async () => {
    const taskId = await agent.startTask(guard);
    const token = await agent.taskToken(guard, taskId);
    const question = () => guard.send(GUARD_API.evaluate, { body: guard.question(token, 'read_note', { path: 'a' }) });
    expect((await question()).body).toMatchObject({ decision: 'permit' });
    expect((await agent.end(taskId)).body).toEqual({ task_id: taskId, state: 'completed' });
    expect((await question()).body).toMatchObject({ decision: 'deny', refusal: { error: 'task_ended' } });
    const again = await agent.askForTaskToken(guard, taskId);
    expect(again.body).toMatchObject({
      error: 'invalid_authorization_details',
      error_description: 'The task has ended.',
    });
  });
});

describe('ending', () => {
  test('only its own agent ends it; for others there is no such task', async () => {
    const taskId = await agent.startTask(guard);
    const foreign = await expectRefused(world.store, 'not_found', () => other.end(taskId));
    const unknown = await expectRefused(world.store, 'not_found', () => other.end(newId('tsk')));
    expect(foreign.body).toEqual(unknown.body);
    expect((await agent.end(taskId)).status).toBe(200);
    const before = await snapshot(world.store);
    expect((await agent.end(taskId)).status).toBe(200);
    expect(await snapshot(world.store)).toEqual(before);
  });

  test('an answer says how the task ended, whoever ended it', async () => {
    const taskId = await agent.startTask(guard);
    await endTask(world.store, { taskId, how: 'cancelled', by: { personId: world.operatorId } });
    expect((await agent.end(taskId)).body).toEqual({ task_id: taskId, state: 'cancelled' });
  });
});
