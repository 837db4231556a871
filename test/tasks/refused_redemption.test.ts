import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const WRITE = { path: 'notes/today.md', content: 'Buy milk.\n' };

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  scene = await Scenario.create(store);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await scene.startTask();
  await scene.decide(await scene.ask('write_file', WRITE), scene.requester, 'approve');
});

async function lastRefusal() {
  return (await scene.events('grant.refused')).at(-1)?.ids;
}

it('T57: a use after the end of the task is refused and in the audit', async () => {
  await endTask(store, { taskId: scene.claims.task.id, how: 'completed', by: { agentId: scene.claims.client_id } });
  expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: false, refusal: { code: 'task_ended' } });
  expect(await lastRefusal()).toMatchObject({ task: scene.claims.task.id, code: 'task_ended' });
});

it('T57: so is one that the end of the task overtakes', async () => {
  let redeemed: ReturnType<Scenario['redeem']> | undefined;
  await database.db.transaction().execute(async (tx) => {
    await tx.updateTable('tasks').set({ state: 'cancelled' }).where('id', '=', scene.claims.task.id).execute();
    redeemed = scene.redeem('write_file', WRITE);
    await sleep(300);
  });
  expect(await redeemed).toMatchObject({ ok: false, refusal: { code: 'task_ended' } });
  expect(await lastRefusal()).toMatchObject({ task: scene.claims.task.id, code: 'task_ended' });
});

it('T57: a second use and other arguments are refused and in the audit', async () => {
  await scene.redeem('write_file', WRITE);
  expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: false, refusal: { code: 'grant_used' } });
  expect(await lastRefusal()).toMatchObject({ task: scene.claims.task.id, code: 'grant_used' });
  await scene.redeem('write_file', { ...WRITE, content: 'Buy beer.\n' });
  expect(await lastRefusal()).toMatchObject({ task: scene.claims.task.id, code: 'grant_missing' });
});
