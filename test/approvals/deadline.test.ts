import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const WRITE = { path: 'notes/today.md', content: 'Buy milk.\n' };
const HELD_MS = 1_500;

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

/** Lets the row end while another transaction holds it, and does something that begins before the end. */
async function acrossTheEnd<Value>(table: 'step_ups' | 'grants', id: string, act: () => Promise<Value>) {
  const column = table === 'grants' ? 'step_up_id' : 'id';
  await sql`update ${sql.table(table)} set expires_at = clock_timestamp() + interval '1 second'
    where ${sql.ref(column)} = ${id}`.execute(database.db);
  let acting: Promise<Value> | undefined;
  await database.db.transaction().execute(async (tx) => {
    await sql`select 1 from ${sql.table(table)} where ${sql.ref(column)} = ${id} for update`.execute(tx);
    acting = act();
    await sleep(HELD_MS);
  });
  return acting!;
}

it('a decision that had to wait for a lock is compared with the clock after the wait', async () => {
  const id = await scene.ask('write_file', WRITE);
  const decided = await acrossTheEnd('step_ups', id, () => scene.decide(id, scene.requester, 'approve'));
  expect(decided).toMatchObject({ ok: false, refusal: { code: 'already_decided' } });
  expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: false });
});

it('so is a redemption', async () => {
  const id = await scene.ask('write_file', WRITE);
  await scene.decide(id, scene.requester, 'approve');
  const redeemed = await acrossTheEnd('grants', id, () => scene.redeem('write_file', WRITE));
  expect(redeemed).toMatchObject({ ok: false, refusal: { code: 'grant_expired' } });
});
