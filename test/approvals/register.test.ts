import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
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
