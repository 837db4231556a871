import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { openDatabase } from '../../../src/store/postgres/open.ts';
import { isDatabaseOutage } from '../../../src/store/postgres/outage.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

async function failureOf(work: () => Promise<unknown>): Promise<unknown> {
  const outcome = await work().then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(Error);
  return outcome;
}

function run(statement: string): Promise<unknown> {
  return sql.raw(statement).execute(database.db);
}

test.each([
  ['the statement takes too long', "set local statement_timeout = '10ms'", 'select pg_sleep(5)'],
  ['the server is read only', 'set local transaction_read_only = on', 'create table made (id int)'],
  ['an administrator ends the connection', 'select 1', 'select pg_terminate_backend(pg_backend_pid())'],
])('F8: an outage when %s', async (_, before, statement) => {
  const transaction = database.db.transaction();
  const error = await failureOf(() =>
    transaction.execute(async (tx) => {
      await sql.raw(before).execute(tx);
      await sql.raw(statement).execute(tx);
    }),
  );
  expect(isDatabaseOutage(error)).toBe(true);
  await run('select 1');
});

test('F8: an outage when a lock is not granted in time', async () => {
  await run('create table locked (id int)');
  const error = await database.db.transaction().execute(async (tx) => {
    await sql`lock table locked`.execute(tx);
    return failureOf(() => run('select from locked'));
  });
  expect(isDatabaseOutage(error)).toBe(true);
});

test('F8: an outage when the pool is exhausted, within the bound, and it recovers alone', async () => {
  const other = openDatabase({ connection: database.connection, poolMax: 1, log: silentLogger });
  await other.db.connection().execute(async () => {
    const error = await failureOf(() => sql`select 1`.execute(other.db));
    expect(isDatabaseOutage(error)).toBe(true);
  });
  await sql`select 1`.execute(other.db);
  await other.close();
});

test('F8: an outage when the server is not there', async () => {
  const connection = { ...database.connection, port: 1 };
  const other = openDatabase({ connection, poolMax: 1, log: silentLogger });
  expect(isDatabaseOutage(await failureOf(() => sql`select 1`.execute(other.db)))).toBe(true);
  await other.close();
});

test('an outage when this server has closed its pool at the end of its drain', async () => {
  const other = openDatabase({ connection: database.connection, poolMax: 1, log: silentLogger });
  await sql`select 1`.execute(other.db);
  await other.close();
  expect(isDatabaseOutage(await failureOf(() => sql`select 1`.execute(other.db)))).toBe(true);
  const transaction = other.db.transaction();
  expect(isDatabaseOutage(await failureOf(() => transaction.execute(async () => {})))).toBe(true);
});

test('a wrong statement, a broken constraint and our own bugs are no outage', async () => {
  await run('create table single (id int primary key)');
  await run('insert into single values (1)');
  expect(isDatabaseOutage(await failureOf(() => run('insert into single values (1)')))).toBe(false);
  expect(isDatabaseOutage(await failureOf(() => run('select nonsense')))).toBe(false);
  expect(isDatabaseOutage(new TypeError('undefined is not a function'))).toBe(false);
  expect(isDatabaseOutage(undefined)).toBe(false);
});
