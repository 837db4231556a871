import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate } from '../../../src/store/postgres/migrate.ts';
import { migrations } from '../../../src/store/postgres/migrations/index.ts';
import { SchemaNewerError } from '../../../src/store/postgres/schema_version.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase({ isEmpty: true });
});
afterEach(() => database.drop());

test('an empty database gets every migration, a current one none', async () => {
  expect(await migrate(database.db)).toEqual(Object.keys(migrations).sort());
  expect(await migrate(database.db)).toEqual([]);
});

test('servers that start at once migrate one after the other, and each migration runs once', async () => {
  let runs = 0;
  const slow: Migration = {
    up: async (db) => {
      runs += 1;
      await sql`create table made_once (id int)`.execute(db);
      await sql`select pg_sleep(0.2)`.execute(db);
    },
  };
  const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(database.db, { '0001_slow': slow })));
  expect(applied.flat()).toEqual(['0001_slow']);
  expect(runs).toBe(1);
});

test('a schema newer than the code is refused by name and left as it is', async () => {
  await migrate(database.db, { '0001_first': makes('first'), '0002_future': makes('second') });
  const attempt = migrate(database.db, { '0001_first': makes('first'), '0003_other': makes('other') });
  await expect(attempt).rejects.toThrow(SchemaNewerError);
  await expect(attempt).rejects.toThrow(/newer release of Countersign \(0002_future\).*has changed nothing/);
  expect(await exists('other')).toBe(false);
});

test('a migration that fails changes nothing, not even by the ones before it', async () => {
  const broken: Migration = { up: (db) => sql`create table second (id nonsense)`.execute(db).then(() => {}) };
  await expect(migrate(database.db, { '0001_first': makes('first'), '0002_broken': broken })).rejects.toThrow(
    /could not be migrated; nothing was changed/,
  );
  expect(await exists('first')).toBe(false);
  expect(await migrate(database.db, { '0001_first': makes('first') })).toEqual(['0001_first']);
});

test('the connection that migrated keeps the limits of a request', async () => {
  await migrate(database.db, {});
  const rows = await Promise.all(
    Array.from({ length: 5 }, () =>
      sql<{ statement: string; lock: string }>`select current_setting('statement_timeout') as statement,
        current_setting('lock_timeout') as lock`.execute(database.db),
    ),
  );
  for (const { rows: found } of rows) expect(found[0]).toEqual({ statement: '10s', lock: '3s' });
});

function makes(table: string): Migration {
  return { up: (db) => db.schema.createTable(table).addColumn('id', 'integer').execute() };
}

async function exists(table: string): Promise<boolean> {
  const result = await sql<{ found: boolean }>`select to_regclass(${table}) is not null as found`.execute(database.db);
  return result.rows[0]?.found === true;
}
