import { randomBytes } from 'node:crypto';
import type { Kysely } from 'kysely';
import pg from 'pg';
import { inject } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import { openDatabase, type SocketConnection } from '../../src/store/postgres/open.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';

export interface TestDatabase {
  readonly db: Kysely<Tables>;
  readonly pool: pg.Pool;
  /** For a second pool, or a server in a child process, on the same database. */
  readonly connection: SocketConnection;
  drop(): Promise<void>;
}

export interface TestDatabaseOptions {
  readonly poolMax?: number;
  /** An empty database, for the tests of the migrations themselves. */
  readonly isEmpty?: boolean;
}

const POOL_MAX = 24;

/** A new database with the current schema and no rows, in the PostgreSQL of this run. Drop it in `afterAll`. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const administration = inject('postgresAdministration');
  const template = inject('postgresTemplate');
  const name = `test_${randomBytes(8).toString('hex')}`;
  const source = options.isEmpty === true ? 'template1' : template.database;
  // file_copy took 45-75 ms here where wal_log took 90-160 ms, because the run's PostgreSQL does not sync.
  await administer(
    administration,
    `create database ${name} template ${source} strategy file_copy owner ${template.user}`,
  );
  const connection = { ...template, database: name };
  const database = openDatabase<Tables>({ connection, poolMax: options.poolMax ?? POOL_MAX, log: silentLogger });
  return {
    db: database.db,
    pool: database.pool,
    connection,
    drop: async () => {
      await database.close();
      await administer(administration, `drop database ${name} with (force)`);
    },
  };
}

async function administer(administration: SocketConnection, statement: string): Promise<void> {
  const { socketDirectory, ...rest } = administration;
  const client = new pg.Client({ ...rest, host: socketDirectory });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}
