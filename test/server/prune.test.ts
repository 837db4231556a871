import { type Kysely, sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import { startPruning } from '../../src/server/prune.ts';
import { createPostgresArtifactStore } from '../../src/store/postgres/artifacts.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const DAY_MS = 86_400_000;
const EXPIRED_ARTIFACTS = 2_500;

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  scene = await Scenario.create(store);
  // A used grant, an open request, an ended task: none of it is for pruning, however old.
  const args = { path: 'a', content: 'b' };
  await scene.decide(await scene.ask('write_file', args), scene.requester, 'approve');
  await scene.redeem('write_file', args);
  await scene.ask('write_file', { path: 'other', content: 'b' });
  await addRows();
});
afterAll(() => database.drop());

const inDays = (days: number) => new Date(Date.now() + days * DAY_MS);

async function addRows(): Promise<void> {
  const person_id = scene.requester.person.id;
  for (const [name, days] of [
    ['fresh', 1],
    ['expired', -29],
    ['old', -31],
  ] as const) {
    const expires_at = inDays(days);
    await store.db
      .insertInto('sessions')
      .values({ id_hash: `session ${name}`, person_id, amr: '["link"]', expires_at, revoked_at: null })
      .execute();
    const link = { token_hash: `link ${name}`, kind: 'invitation' as const, person_id: null, is_administrator: false };
    await store.db
      .insertInto('links')
      .values({ ...link, created_by: person_id, expires_at, used_at: null })
      .execute();
    await store.db
      .insertInto('revoked_tokens')
      .values({ jti: `token ${name}`, expires_at })
      .execute();
  }
  await store.db
    .insertInto('revoked_tokens')
    .values({ jti: 'token lives by a slow clock', expires_at: new Date(Date.now() - 5_000) })
    .execute();
  const artifacts = createPostgresArtifactStore(store);
  await artifacts.save('RefreshToken', 'fresh', { payload: {}, grantId: newId('gra') }, 3_600);
  await artifacts.save('Grant', 'without end', { payload: {} }, undefined);
  await sql`
    insert into artifacts (kind, id_hash, payload_sealed, expires_at)
    select 'AccessToken', 'expired ' || n, ''::bytea, clock_timestamp() - interval '1 second'
    from generate_series(1, ${EXPIRED_ARTIFACTS}::int) as n
  `.execute(store.db);
}

async function rows(table: keyof Tables): Promise<string[]> {
  const db = store.db as unknown as Kysely<Record<string, Record<string, unknown>>>;
  const found = await db.selectFrom(table).selectAll().execute();
  return found.map((row) => JSON.stringify(row)).sort();
}

test('pruning deletes what expired, however much it is, and nothing else', async () => {
  const kept: (keyof Tables)[] = [
    ...(['people', 'agents', 'tasks', 'delegations', 'tool_servers', 'tools', 'step_ups', 'decisions'] as const),
    ...(['grants', 'redemptions', 'events', 'checkpoints', 'oauth_clients', 'keys', 'settings'] as const),
  ];
  const before = await Promise.all(kept.map(rows));
  const pruning = startPruning(store, createPostgresArtifactStore(store), { audit_days: null, step_ups_days: null });
  await pruning.prune();
  await pruning.stop();
  expect(await Promise.all(kept.map(rows))).toEqual(before);
  const names = async (table: 'sessions' | 'links' | 'revoked_tokens', column: string) =>
    (await rows(table)).map((row) => String((JSON.parse(row) as Record<string, unknown>)[column])).sort();
  expect(await names('sessions', 'id_hash')).toEqual(['session expired', 'session fresh']);
  expect(await names('links', 'token_hash')).toEqual(['link expired', 'link fresh']);
  expect(await names('revoked_tokens', 'jti')).toEqual(['token fresh', 'token lives by a slow clock']);
  const artifacts = await store.db.selectFrom('artifacts').select('kind').orderBy('kind').execute();
  expect(artifacts.map((artifact) => artifact.kind)).toEqual(['Grant', 'RefreshToken']);
});
