import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import { record } from '../../src/events/record.ts';
import { sealBatch } from '../../src/events/seal.ts';
import { onSealerBell } from '../../src/events/sealer_bell.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

const AT = new Date('2026-11-23T10:00:00.123Z');
const CALLS = 50;

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
});
afterAll(() => database.drop());
beforeEach(() => sql`truncate events, checkpoints`.execute(database.db));

const tokenIssued = (token: string) => record(store, { kind: 'token.issued', ids: { token } }, AT);
const rows = () =>
  store.db
    .selectFrom('events')
    .select(['body', 'at'])
    .select(sql<string>`xmin::text`.as('written_by'))
    .orderBy('id')
    .execute();

test('an event is stored with its time before its caller goes on, wakes the sealer, and can be sealed', async () => {
  const key = await loadCheckpointKey(store);
  await sql`truncate events, checkpoints`.execute(database.db);
  const woken = Promise.withResolvers<void>();
  const unsubscribe = onSealerBell(store, woken.resolve);
  await tokenIssued('one');
  const [row] = await rows();
  expect(JSON.parse(row?.body ?? '')).toMatchObject({
    kind: 'token.issued',
    at: AT.toISOString(),
    ids: { token: 'one' },
  });
  expect(row?.at).toEqual(AT);
  await woken.promise;
  unsubscribe();
  expect(await sealBatch(store, key, true)).toBe(1);
});

test('events of many callers share commits, and none is lost, doubled or out of order', async () => {
  const names = Array.from({ length: CALLS }, (_, index) => `token-${index}`);
  await Promise.all(names.map(tokenIssued));
  const stored = await rows();
  expect(stored.map(({ body }) => JSON.parse(body).ids.token)).toEqual(names);
  expect(new Set(stored.map(({ written_by }) => written_by)).size).toBeLessThan(CALLS / 10);
});

test('every caller whose event could not be written is told, and later ones are written', async () => {
  await sql`alter table events add constraint no_tokens check (kind <> 'token.issued')`.execute(database.db);
  const outcomes = await Promise.allSettled([tokenIssued('a'), tokenIssued('b'), tokenIssued('c')]);
  await sql`alter table events drop constraint no_tokens`.execute(database.db);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  expect(await rows()).toEqual([]);
  await tokenIssued('d');
  expect(await rows()).toHaveLength(1);
});
