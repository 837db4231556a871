import { type Kysely, sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { migrate } from '../../../src/store/postgres/migrate.ts';
import { migrations } from '../../../src/store/postgres/migrations/index.ts';
import { openDatabase } from '../../../src/store/postgres/open.ts';
import type { SchemaMigrations } from '../../../src/store/postgres/schema_migration.ts';
import type { Tables } from '../../../src/store/postgres/tables.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { Scenario } from '../../support/scenario.ts';
import { createTestStore } from '../../support/test_store.ts';

// A release of tomorrow migrates while servers of today work: nothing they do fails, and nothing waits for long.

const WORKERS = 4;
const CALLS_MIN = 5;
const TABLES = ['step_ups', 'grants', 'tool_servers', 'tasks', 'agents', 'events'];

const next: SchemaMigrations = {
  ...migrations,
  '9001_columns': {
    up: async (db: Kysely<unknown>) => {
      for (const table of TABLES) await sql`alter table ${sql.table(table)} add column note text`.execute(db);
    },
  },
  '9002_index': {
    isConcurrent: true,
    up: async (db: Kysely<unknown>) => {
      await sql`drop index concurrently if exists events_by_kind`.execute(db);
      await sql`create index concurrently events_by_kind on events (kind)`.execute(db);
    },
  },
  '9003_table': {
    up: (db: Kysely<unknown>) => sql`create table added (id text primary key)`.execute(db).then(() => {}),
  },
};

let database: TestDatabase;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase({ poolMax: WORKERS + 2 });
  scene = await Scenario.create(
    createTestStore(database, { rules: { stepUpsPerAgentPerMinute: 100_000, openStepUpsPerAgent: 100_000 } }),
  );
});
afterAll(() => database.drop());

/** One gated call from its request to its use. */
async function callOnce(path: string): Promise<void> {
  const args = { path, content: 'b' };
  const decided = await scene.decide(await scene.ask('write_file', args), scene.requester, 'approve');
  expect(decided).toMatchObject({ ok: true });
  expect(await scene.redeem('write_file', args)).toMatchObject({ ok: true });
  expect(await scene.evaluate('write_file', args)).toMatchObject({ decision: 'replay' });
}

test('while servers work, columns are added and an index is built; no call of theirs fails', async () => {
  let isOver = false;
  const calls = Array.from({ length: WORKERS }, () => 0);
  const failures: unknown[] = [];
  const work = async (worker: number) => {
    while (!isOver || calls[worker]! < CALLS_MIN) {
      await callOnce(`${worker}/${calls[worker]}`).catch((error: unknown) => failures.push(error));
      calls[worker]! += 1;
    }
  };
  const working = Promise.all(calls.map((_, worker) => work(worker)));
  // Every connection has prepared its statements by then.
  await expect.poll(() => Math.min(...calls), { timeout: 20_000 }).toBeGreaterThanOrEqual(2);
  const other = openDatabase<Tables>({ connection: database.connection, poolMax: 1, log: silentLogger });
  try {
    expect(await migrate(other.db, next)).toEqual(['9001_columns', '9002_index', '9003_table']);
  } finally {
    isOver = true;
    await other.close();
  }
  await working;
  expect(failures).toEqual([]);
}, 60_000);

test('a migration that finds a table in use gives up its locks and tries again, so that others pass meanwhile', async () => {
  const other = openDatabase<Tables>({ connection: database.connection, poolMax: 1, log: silentLogger });
  let attempts = 0;
  const wide: SchemaMigrations = {
    ...next,
    '9004_wide': {
      up: async (db: Kysely<unknown>) => {
        attempts += 1;
        await sql`alter table people add column note text`.execute(db);
        await sql`alter table step_ups add column wide text`.execute(db);
      },
    },
  };
  // Somebody reads for long; what the migration holds already (people) is what everybody needs.
  const migrating = await database.db.transaction().execute(async (tx) => {
    await sql`select count(*) from step_ups`.execute(tx);
    const running = migrate(other.db, wide);
    await expect.poll(() => attempts, { timeout: 20_000 }).toBeGreaterThanOrEqual(2);
    await sql`select count(*) from people`.execute(database.db);
    return { running };
  });
  expect(await migrating.running).toEqual(['9004_wide']);
  await other.close();
}, 60_000);
