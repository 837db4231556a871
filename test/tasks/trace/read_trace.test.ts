import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Store } from '../../../src/store/store.ts';
import { recordOutcome } from '../../../src/tasks/outcome.ts';
import { startSubTask } from '../../../src/tasks/sub_task.ts';
import { TRACE_EVENTS_MAX } from '../../../src/tasks/trace/limits.ts';
import { readTrace } from '../../../src/tasks/trace/read_trace.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { Scenario } from '../../support/scenario.ts';
import { createTestStore } from '../../support/test_store.ts';

const WRITE = { path: 'notes/today.md', content: 'Buy milk.\n' };

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await scene?.freeNames();
  scene = await Scenario.create(store);
});

const everything = { kind: 'api_token' } as const;

async function traceOf(taskId: string, more: { after?: number } = {}) {
  const trace = await readTrace(store, { taskId, reader: everything, ...more });
  if (!trace.ok) throw new Error(trace.refusal.message);
  return trace.value;
}

test('a trace tells, in order, what was permitted, asked, decided, used and refused, by whom, under which policy', async () => {
  const taskId = scene.claims.task.id;
  await scene.evaluate('read_file', { path: 'a' });
  const stepUp = await scene.ask('write_file', WRITE);
  await scene.decide(stepUp, scene.requester, 'approve');
  const redeemed = await scene.redeem('write_file', WRITE);
  if (!redeemed.ok) throw new Error(redeemed.refusal.message);
  await recordOutcome(store, {
    toolServerId: scene.server.id,
    redemptionId: redeemed.value.redemption_id,
    attemptId: (await store.db.selectFrom('redemptions').select('attempt_id').executeTakeFirstOrThrow()).attempt_id,
    guardInstance: scene.guardInstance,
    outcome: 'done',
    result: null,
  });
  await scene.evaluate('no_such_tool', {});
  const trace = await traceOf(taskId);
  expect(trace.events.map(({ kind }) => kind)).toEqual([
    'task.started',
    'call.permitted',
    'step_up.registered',
    'step_up.opened',
    'decision.made',
    'step_up.approved',
    'grant.made',
    'grant.redeemed',
    'outcome.recorded',
    'call.denied',
  ]);
  const [, permitted] = trace.events;
  expect(permitted!.ids).toMatchObject({
    agent: scene.claims.act!.sub,
    requester: scene.requester.person.id,
    delegation: trace.delegations[0]!.id,
    name: 'read_file',
    policy_version: expect.any(String),
  });
  const redemption = trace.events.find(({ kind }) => kind === 'grant.redeemed');
  expect(redemption!.ids).toMatchObject({
    agent: scene.claims.act!.sub,
    policy_version: permitted!.ids.policy_version,
  });
  expect(permitted!.what).toBe('A call was permitted by policy');
  expect(trace.names).toMatchObject({
    [scene.requester.person.id]: 'Ada',
    [scene.claims.act!.sub]: 'Notes agent',
    [scene.server.id]: 'files',
  });
  expect(trace.next).toBeNull();
});

test('sub-tasks and what happens in them belong to the trace of the task above', async () => {
  const taskId = scene.claims.task.id;
  const { id: delegationId } = await store.db
    .selectFrom('delegations')
    .select('id')
    .where('task_id', '=', taskId)
    .executeTakeFirstOrThrow();
  const sub = await startSubTask(store, {
    parentTaskId: taskId,
    agentId: scene.claims.act!.sub,
    purpose: 'One part of it',
    tools: { [scene.server.id]: ['read_file'] },
    budget: [],
    seconds: 60,
  });
  if (!sub.ok) throw new Error(sub.refusal.message);
  const trace = await traceOf(taskId);
  expect(trace.tasks.map(({ id, parentId }) => ({ id, parentId }))).toEqual([
    { id: taskId, parentId: null },
    { id: sub.value.taskId, parentId: taskId },
  ]);
  expect(trace.delegations.map(({ parentId }) => parentId)).toEqual([null, delegationId]);
  expect(trace.events.filter(({ kind }) => kind === 'task.started').map(({ ids }) => ids.task)).toEqual([
    taskId,
    sub.value.taskId,
  ]);
  expect((await traceOf(sub.value.taskId)).tasks).toHaveLength(1);
});

test('people see the tasks they have a part in, agents their own; to others there is no such task', async () => {
  const taskId = scene.claims.task.id;
  const stranger = await scene.addPerson('Mallory', false);
  const read = (reader: Parameters<typeof readTrace>[1]['reader']) => readTrace(store, { taskId, reader });
  const missing = { ok: false, refusal: { code: 'not_found' } };
  expect(await read({ kind: 'person', id: stranger.person.id })).toMatchObject(missing);
  expect(await read({ kind: 'agent', id: 'agt_somebody_else' })).toMatchObject(missing);
  expect(await read({ kind: 'person', id: scene.requester.person.id })).toMatchObject({ ok: true });
  expect(await read({ kind: 'person', id: scene.administrator.person.id })).toMatchObject({ ok: true });
  expect(await read({ kind: 'agent', id: scene.claims.act!.sub })).toMatchObject({ ok: true });
  await store.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', scene.requester.person.id).execute();
  expect(await read({ kind: 'person', id: scene.requester.person.id })).toMatchObject(missing);
});

test('a long trace comes in pages, and its index finds it in a large log', async () => {
  const taskId = scene.claims.task.id;
  await sql`insert into events (kind, body, body_digest, mac, at)
    select 'call.permitted', jsonb_build_object('v', 1, 'kind', 'call.permitted', 'at', '', 'commitment', null,
      'ids', jsonb_build_object('task', case when n % 2 = 0 then ${taskId} else 'tsk_other' end, 'n', n))::text, '', '', now()
    from generate_series(1, ${4 * TRACE_EVENTS_MAX}) n`.execute(store.db);
  const first = await traceOf(taskId);
  expect(first.events).toHaveLength(TRACE_EVENTS_MAX);
  const seen = [...first.events];
  for (let { next } = first; next !== null; ) {
    const page = await traceOf(taskId, { after: next });
    seen.push(...page.events);
    next = page.next;
  }
  expect(seen.filter(({ ids }) => typeof ids.n === 'number').map(({ ids }) => ids.n)).toEqual(
    Array.from({ length: 2 * TRACE_EVENTS_MAX }, (_, index) => 2 * (index + 1)),
  );
  await sql`analyze events`.execute(store.db);
  const plan = await sql<{ 'QUERY PLAN': string }>`explain select id from events
    where coalesce(body::jsonb -> 'ids' ->> 'task', body::jsonb -> 'ids' ->> 'step_up') = any(array['tsk_nobody'])`.execute(
    store.db,
  );
  expect(JSON.stringify(plan.rows)).toContain('events_of_task');
});
