import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Logger } from '../../kernel/logger.ts';
import {
  IDLE_IN_TRANSACTION_TIMEOUT_MS,
  LOCK_TIMEOUT_MS,
  POOL_IDLE_TIMEOUT_MS,
  POOL_WAIT_TIMEOUT_MS,
  STATEMENT_TIMEOUT_MS,
} from './limits.ts';
import { prepareStatements } from './prepare.ts';
import { parserOf } from './value_parsers.ts';

export interface SocketConnection {
  readonly socketDirectory: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface HostConnection extends Omit<SocketConnection, 'socketDirectory'> {
  readonly host: string;
}

export type DatabaseConnection = SocketConnection | HostConnection | { readonly url: string };

export interface OpenDatabaseOptions {
  readonly connection: DatabaseConnection;
  readonly poolMax: number;
  readonly log: Logger;
  readonly applicationName?: string;
}

export interface Database<Tables> {
  readonly db: Kysely<Tables>;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

/** Opens a pool on the primary. Nothing connects before the first query; a lost server is found again by itself. */
export function openDatabase<Tables>(options: OpenDatabaseOptions): Database<Tables> {
  const pool = new pg.Pool({
    ...place(options.connection),
    max: options.poolMax,
    application_name: options.applicationName ?? 'countersign',
    connectionTimeoutMillis: POOL_WAIT_TIMEOUT_MS,
    idleTimeoutMillis: POOL_IDLE_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    // What is acknowledged is on disk, also where an administrator made the default laxer.
    options: '-c synchronous_commit=on -c timezone=UTC',
    types: { getTypeParser: parserOf },
  });
  // A lost connection without a listener ends the whole process. The pool listens only while a connection is idle; in the
  // middle of a transaction the next statement fails as well, and that reaches the caller.
  pool.on('connect', prepareStatements);
  pool.on('error', (error) => options.log.warn({ error: error.message }, 'an idle database connection was lost'));
  pool.on('connect', (client) => client.on('error', () => {}));
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  return { db, pool, close: () => db.destroy() };
}

function place(connection: DatabaseConnection): pg.PoolConfig {
  if ('url' in connection) return { connectionString: connection.url };
  if ('host' in connection) return connection;
  const { socketDirectory, ...rest } = connection;
  return { ...rest, host: socketDirectory };
}
