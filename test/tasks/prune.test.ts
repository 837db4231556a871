import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPruning } from '../../src/server/prune.ts';
import { createPostgresArtifactStore } from '../../src/store/postgres/artifacts.ts';
import type { Store } from '../../src/store/store.ts';
import { pruneStepUps } from '../../src/tasks/prune.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const DAYS = 30;
const args = (path: string) => ({ path, content: 'b' });

let database: TestDatabase;
let store: Store;
let scene: Scenario;
const stepUps: Record<string, string> = {};

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database, { rules: { stepUpsPerAgentPerMinute: 100 } });
  scene = await Scenario.create(store);
  for (const name of ['used', 'denied', 'used late', 'granted', 'open', 'young']) {
    stepUps[name] = await scene.ask('write_file', args(name));
  }
  for (const name of ['used', 'used late', 'granted', 'young']) {
    await scene.decide(stepUps[name]!, scene.requester, 'approve');
  }
  await scene.decide(stepUps.denied!, scene.requester, 'deny');
  for (const name of ['used', 'used late', 'young']) await scene.redeem('write_file', args(name));
  await makeOld(Object.keys(stepUps).filter((name) => name !== 'young'));
});
afterAll(() => database.drop());

/** As if all of it had happened 31 days ago, but for what its name says. */
async function makeOld(names: readonly string[]): Promise<void> {
  const ids = names.map((name) => stepUps[name]!);
  const ago = sql`make_interval(days => 31)`;
  await sql`update step_ups set created_at = created_at - ${ago}, decided_at = decided_at - ${ago} where id = any(${ids})`.execute(
    store.db,
  );
  await sql`update grants set expires_at = expires_at - ${ago} where step_up_id = any(${ids}) and step_up_id <> ${stepUps.granted}`.execute(
    store.db,
  );
  await sql`update redemptions set redeemed_at = redeemed_at - ${ago}
    where step_up_id = any(${ids}) and step_up_id <> ${stepUps['used late']}`.execute(store.db);
}

async function left(table: 'step_ups' | 'decisions' | 'grants' | 'redemptions'): Promise<string[]> {
  const column = table === 'step_ups' ? 'id' : 'step_up_id';
  const { rows } = await sql<{ id: string }>`select ${sql.ref(column)} as id from ${sql.table(table)}`.execute(
    store.db,
  );
  const named = Object.entries(stepUps).filter(([, id]) => rows.some((row) => row.id === id));
  return named.map(([name]) => name);
}

test('what ended long ago goes with all that belongs to it, and nothing that could still be used, decided or replayed', async () => {
  expect(await pruneStepUps(store, DAYS)).toEqual({ stepUps: 2, tasks: 0 });
  expect(await left('step_ups')).toEqual(['used late', 'granted', 'open', 'young']);
  expect(await left('decisions')).toEqual(['used late', 'granted', 'young']);
  expect(await left('grants')).toEqual(['used late', 'granted', 'young']);
  expect(await left('redemptions')).toEqual(['used late', 'young']);
  expect(await scene.events('records.pruned')).toMatchObject([{ ids: { what: 'step_ups', count: 2 } }]);
  expect(await pruneStepUps(store, DAYS)).toEqual({ stepUps: 0, tasks: 0 });
});

test('the call is asked about anew, the live grant redeems, the recorded outcome is replayed', async () => {
  expect(await scene.evaluate('write_file', args('used'))).toMatchObject({ decision: 'step_up' });
  expect(await scene.evaluate('write_file', args('used late'))).toMatchObject({ decision: 'replay' });
  expect(await scene.redeem('write_file', args('granted'))).toMatchObject({ ok: true });
});

test('a replay window longer than the retention is kept', async () => {
  const long = createTestStore(database, { rules: { replayWindowSeconds: 400 * 86_400 } });
  await sql`update redemptions set redeemed_at = redeemed_at - make_interval(days => 31)`.execute(store.db);
  expect(await pruneStepUps(long, DAYS)).toMatchObject({ stepUps: 0 });
  expect(await pruneStepUps(store, DAYS)).toMatchObject({ stepUps: 2 });
});

test('a task that ended goes once nothing of it is left', async () => {
  const old = await scene.startTask();
  const running = await scene.startTask();
  await sql`update tasks set expires_at = expires_at - make_interval(days => 31) where id = ${old}`.execute(store.db);
  expect(await pruneStepUps(store, DAYS)).toEqual({ stepUps: 0, tasks: 1 });
  const tasks = await store.db.selectFrom('tasks').select('id').execute();
  expect(tasks.map((task) => task.id)).toContain(running);
  expect(tasks.map((task) => task.id)).not.toContain(old);
});

test('one node prunes at a time, and without a setting nothing is deleted by age', async () => {
  await sql`update step_ups set created_at = created_at - interval '5 years', decided_at = decided_at - interval '5 years'`.execute(
    store.db,
  );
  const before = await left('step_ups');
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow = { prune: () => held.then(() => 0) };
  const never = { audit_days: null, step_ups_days: null };
  const first = startPruning(store, slow, never);
  const second = startPruning(store, createPostgresArtifactStore(store), never);
  const running = first.prune();
  await expect.poll(() => second.prune()).toBe(false);
  release();
  expect(await running).toBe(true);
  expect(await second.prune()).toBe(true);
  expect(await left('step_ups')).toEqual(before);
  await Promise.all([first.stop(), second.stop()]);
});
