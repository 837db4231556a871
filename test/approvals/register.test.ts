import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { authorizeCall } from '../../src/tasks/authorize_call.ts';
import { actionDigest } from '../../src/wire/action_digest.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const WRITE = { path: 'notes/today.md', content: 'Buy milk.\n' };
/** Long enough for a request to reach the lock it must wait for. */
const REACHED_MS = 300;

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
afterEach(() => scene.freeNames());
beforeEach(async () => {
  store = createTestStore(database);
  scene = await Scenario.create(store);
});

function undecided(): Promise<unknown[]> {
  return database.db
    .selectFrom('step_ups')
    .select('id')
    .where('task_id', '=', scene.claims.task.id)
    .where('state', 'in', ['registered', 'open'])
    .execute();
}

it('asks nobody for a task that ends while the call is decided', async () => {
  let answer: ReturnType<Scenario['evaluate']> | undefined;
  await database.db.transaction().execute(async (tx) => {
    await tx.selectFrom('tasks').select('id').where('id', '=', scene.claims.task.id).forUpdate().execute();
    answer = scene.evaluate('write_file', WRITE);
    await sleep(REACHED_MS);
    await tx
      .updateTable('tasks')
      .set({ state: 'cancelled', ended_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', scene.claims.task.id)
      .execute();
  });
  expect(await answer).toMatchObject({ decision: 'deny', refusal: { error: 'task_ended' } });
  expect(await undecided()).toHaveLength(0);
});

it('is open, and its grant lives, no longer than its task', async () => {
  await scene.startTask(undefined, 60);
  const id = await scene.ask('write_file', WRITE);
  expect(await scene.decide(id, scene.requester, 'approve')).toMatchObject({ ok: true });
  const { task_ends, step_up_ends, grant_ends } = await database.db
    .selectFrom('step_ups')
    .innerJoin('tasks', 'tasks.id', 'step_ups.task_id')
    .innerJoin('grants', 'grants.step_up_id', 'step_ups.id')
    .select(['tasks.expires_at as task_ends', 'step_ups.expires_at as step_up_ends', 'grants.expires_at as grant_ends'])
    .where('step_ups.id', '=', id)
    .executeTakeFirstOrThrow();
  expect(step_up_ends).toEqual(task_ends);
  expect(grant_ends).toEqual(task_ends);
});

it('T41: after five denials an agent asks nobody for a while, whatever it changes and in whatever task', async () => {
  store = createTestStore(database, { rules: { stepUpsPerAgentPerMinute: 50 } });
  await scene.freeNames();
  scene = await Scenario.create(store);
  for (let number = 0; number < 5; number += 1) {
    const id = await scene.ask('write_file', { ...WRITE, content: `Buy milk, ${number}.` });
    await scene.decide(id, scene.requester, 'deny');
  }
  const count = () => database.db.selectFrom('step_ups').select('id').execute();
  const before = await count();
  expect(await scene.evaluate('write_file', { ...WRITE, content: 'Buy milk!' })).toMatchObject({
    decision: 'deny',
    refusal: { error: 'denied_recently', detail: { retry_after_seconds: 300 } },
  });
  expect(await count()).toHaveLength(before.length);
  const audited = await scene.events('call.denied');
  expect(audited.at(-1)?.ids).toMatchObject({ agent: scene.claims.client_id, code: 'denied_recently' });
});

it('counts what the client answered to a tool as what a person would have to read', async () => {
  const asked = scene.describe('write_file', WRITE);
  const input_responses = { answer: 'x'.repeat(65_536) };
  const { issuer } = store;
  const { resource, deployment } = scene.server;
  const { action_digest: _, ...described } = asked;
  const digest = actionDigest({ ...described, input_responses, issuer, resource, deployment });
  const answer = await authorizeCall(store, scene.book, {
    server: scene.server,
    claims: scene.claims,
    action: { ...described, input_responses, action_digest: digest },
    guardInstance: scene.guardInstance,
  });
  expect(answer).toMatchObject({ decision: 'deny', refusal: { error: 'arguments_too_large' } });
});
