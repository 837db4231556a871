import { type Kysely, sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { openDatabase } from '../../../src/store/postgres/open.ts';
import { warnIfCrowded } from '../../../src/store/postgres/primary.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

async function one(expression: string): Promise<unknown> {
  const result = await sql.raw<{ value: unknown }>(`select ${expression} as value`).execute(database.db);
  return result.rows[0]?.value;
}

test('a bigint is a number as long as JavaScript can hold it exactly, and throws beyond', async () => {
  expect(await one('9007199254740991::bigint')).toBe(Number.MAX_SAFE_INTEGER);
  expect(await one("'{1,-9007199254740991}'::bigint[]")).toEqual([1, Number.MIN_SAFE_INTEGER]);
  expect(await one('(select count(*) from pg_class where false)')).toBe(0);
  await expect(one('9007199254740992::bigint')).rejects.toThrow(/not a safe integer/);
  await expect(one("'{9007199254740992}'::bigint[]")).rejects.toThrow(/not a safe integer/);
});

test('a timestamptz is a Date; infinity throws', async () => {
  expect(await one("'2026-01-02 03:04:05.678+02'::timestamptz")).toEqual(new Date('2026-01-02T01:04:05.678Z'));
  await expect(one("'infinity'::timestamptz")).rejects.toThrow(/not a point in time/);
});

test('every connection is bounded, durable and named', async () => {
  expect(await one("current_setting('statement_timeout')")).toBe('10s');
  expect(await one("current_setting('lock_timeout')")).toBe('3s');
  expect(await one("current_setting('idle_in_transaction_session_timeout')")).toBe('10s');
  expect(await one("current_setting('synchronous_commit')")).toBe('on');
  expect(await one("current_setting('application_name')")).toBe('countersign');
  expect(await one('(select rolsuper from pg_roles where rolname = current_user)')).toBe(false);
});

test('F8: an idle connection that PostgreSQL closes does not end the process, and the pool recovers alone', async () => {
  const warnings: string[] = [];
  const log = { ...silentLogger, warn: (_: object, message: string) => warnings.push(message) };
  const other = openDatabase({ connection: database.connection, poolMax: 1, log, applicationName: 'victim' });
  await sql`select 1`.execute(other.db);
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim'`.execute(
    database.db,
  );
  await expect.poll(() => warnings).toEqual(['an idle database connection was lost']);
  await sql`select 1`.execute(other.db);
  await other.close();
});

test('F8: a server that is not there is an error at once, not a wait', async () => {
  const connection = { ...database.connection, port: 1 };
  const other = openDatabase({ connection, poolMax: 1, log: silentLogger });
  await expect(sql`select 1`.execute(other.db)).rejects.toThrow(/ENOENT/);
  await other.close();
});

test('a connection can also be given as a host or as a URL', async () => {
  const { socketDirectory, port, user, password, database: name } = database.connection;
  const url = `postgres://${user}:${password}@/${name}?host=${encodeURIComponent(socketDirectory)}&port=${port}`;
  for (const connection of [
    { host: socketDirectory, port, user, password, database: name },
    { url, durability: 'assumed' as const },
  ]) {
    const other = openDatabase({ connection, poolMax: 1, log: silentLogger });
    const result = await sql<{ name: string }>`select current_database() as name`.execute(other.db);
    expect(result.rows[0]?.name).toBe(name);
    await other.close();
  }
});

test('F8: a connection whose server takes no writes any more leaves the pool, with all that were made before it', async () => {
  const other = openDatabase({ connection: database.connection, poolMax: 2, log: silentLogger });
  const pid = async (db: Kysely<unknown>) =>
    (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]!.pid;
  const [demoted, idle] = await Promise.all(
    [1, 2].map(() =>
      other.db.connection().execute(async (connection) => {
        await sql`set session characteristics as transaction read only`.execute(connection);
        await sql`select pg_sleep(0.1)`.execute(connection);
        return pid(connection);
      }),
    ),
  );
  expect(demoted).not.toBe(idle);
  await expect(sql`create table made (id int)`.execute(other.db)).rejects.toMatchObject({ code: '25006' });
  await sql`create table made (id int)`.execute(other.db);
  expect([demoted, idle]).not.toContain(await pid(other.db));
  await other.close();
});

test('a server that could lose what it acknowledged is refused, with the setting to change, unless the data may be lost', async () => {
  const { socketDirectory, user, password, database: name } = database.connection;
  const url = `postgres://${user}:${password}@/${name}?host=${encodeURIComponent(socketDirectory)}`;
  const refused = openDatabase({ connection: { url }, poolMax: 1, log: silentLogger });
  await expect(sql`select 1`.execute(refused.db)).rejects.toThrow(/fsync = off.*Set fsync = on in postgresql\.conf/);
  await refused.close();
  const assumed = openDatabase({ connection: { url, durability: 'assumed' }, poolMax: 1, log: silentLogger });
  await sql`select 1`.execute(assumed.db);
  await assumed.close();
});

test('a server without room for the pool is reported', async () => {
  const warnings: object[] = [];
  const log = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
  await warnIfCrowded(database.pool, 10, log);
  expect(warnings).toEqual([]);
  await warnIfCrowded(database.pool, 1_000, log);
  expect(warnings).toMatchObject([{ pool_max: 1_000 }]);
});
