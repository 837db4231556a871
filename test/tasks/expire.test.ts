import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { revocationsOf } from '../../src/events/revocations.ts';
import { expireTasks } from '../../src/tasks/expire.ts';
import { pruneStepUps } from '../../src/tasks/prune.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let scenario: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  scenario = await Scenario.create(createTestStore(database));
});
afterAll(() => database.drop());

const overdue = (id: string) =>
  sql`update tasks set expires_at = clock_timestamp() - interval '1 second' where id = ${id}`.execute(database.db);
const taskOf = (id: string) =>
  database.db.selectFrom('tasks').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
const ends = async (id: string) =>
  (await scenario.events('task.ended')).filter(({ ids }) => (ids as { task: string }).task === id);

test('a task that ran out ends once, with what waits and what is unused, and no other does', async () => {
  const running = scenario.claims.task.id;
  const id = await scenario.startTask();
  const waiting = await scenario.ask('write_file', { path: 'a', content: 'x' });
  const unused = await scenario.ask('write_file', { path: 'b', content: 'x' });
  await scenario.decide(unused, scenario.requester, 'approve');
  await overdue(id);
  const swept = await Promise.all(Array.from({ length: 4 }, () => expireTasks(scenario.store)));
  expect(swept.reduce((sum, count) => sum + count)).toBe(1);
  const task = await taskOf(id);
  expect(task.state).toBe('expired');
  expect(task.ended_at).toEqual(task.expires_at);
  expect((await taskOf(running)).state).toBe('active');
  const [event, ...more] = await ends(id);
  expect(more).toEqual([]);
  expect(event!.ids).toEqual({ task: id, how: 'expired', by: 'server', by_kind: 'server' });
  const stepUp = database.db.selectFrom('step_ups').select(['state', 'reason']).where('id', '=', waiting);
  expect(await stepUp.executeTakeFirst()).toEqual({ state: 'withdrawn', reason: 'The time of the task is over.' });
  const grant = database.db.selectFrom('grants').select('revoked_at').where('step_up_id', '=', unused);
  expect((await grant.executeTakeFirstOrThrow()).revoked_at).not.toBeNull();
  expect(await expireTasks(scenario.store)).toBe(0);
});

test('a task that was ended before stays as it was', async () => {
  const id = await scenario.startTask();
  await database.db.updateTable('tasks').set({ state: 'completed' }).where('id', '=', id).execute();
  await overdue(id);
  expect(await expireTasks(scenario.store)).toBe(0);
  expect((await taskOf(id)).state).toBe('completed');
});

test('guards hear of a task that was ended, not of one whose tokens ended by themselves', () => {
  const event = (how: string) => ({ kind: 'task.ended', ids: { task: 'tsk_a', how }, at: new Date(), position: 1 });
  const heard = (how: string) => revocationsOf(event(how) as Parameters<typeof revocationsOf>[0]);
  expect(heard('cancelled')).toMatchObject([{ what: 'task', id: 'tsk_a' }]);
  expect(heard('expired')).toEqual([]);
});

test('retention takes the budget of a task with the task', async () => {
  const id = await scenario.startTask(undefined, undefined, [{ what: 'calls', maximum: '3' }]);
  await sql`update tasks set expires_at = now() - interval '90 days', state = 'expired' where id = ${id}`.execute(
    database.db,
  );
  expect((await pruneStepUps(scenario.store, 30)).tasks).toBe(1);
  expect(await database.db.selectFrom('task_budgets').selectAll().where('task_id', '=', id).execute()).toEqual([]);
});
