import { Kysely, PostgresDialect, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import type { Logger } from '../../kernel/logger.ts';
import { parseDatabaseUrl } from './address.ts';
import {
  IDLE_IN_TRANSACTION_TIMEOUT_MS,
  KEEP_ALIVE_DELAY_MS,
  LOCK_TIMEOUT_MS,
  POOL_IDLE_TIMEOUT_MS,
  POOL_WAIT_TIMEOUT_MS,
  STATEMENT_TIMEOUT_MS,
} from './limits.ts';
import { prepareStatements } from './prepare.ts';
import { assertFit, type Durability } from './primary.ts';
import { parserOf } from './value_parsers.ts';
import { isLost, watchConnection } from './watch_connection.ts';

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

/** `url`: a server that exists already. Each connection to it is checked, since it may be another server every time. */
export type DatabaseConnection =
  | SocketConnection
  | HostConnection
  | { readonly url: string; readonly durability?: Durability };

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

const LOOPBACK = /^(localhost|127\.[\d.]+|::1)$/;

/** `database.url` cannot be used as it is written. The message says why, and repeats no password. */
export class DatabaseUrlError extends Error {
  override name = 'DatabaseUrlError';
}

/** Opens a pool on the primary. Nothing connects before the first query; a lost server is found again by itself. */
export function openDatabase<Tables>(options: OpenDatabaseOptions): Database<Tables> {
  const pool = new pg.Pool({
    ...connectionSettings(options.connection),
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
  const generations = new Generations();
  pool.on('connect', (client) => {
    prepareStatements(client);
    watchConnection(client, () => generations.end());
    generations.add(client);
    // A lost connection without a listener ends the whole process. The pool listens only while a connection is idle; in the
    // middle of a transaction the next statement fails as well, and that reaches the caller.
    client.on('error', () => {});
  });
  pool.on('error', (error) => options.log.warn({ error: error.message }, 'an idle database connection was lost'));
  const source = {
    connect: () => checkOut(pool, generations),
    end: () => pool.end(),
    options: pool.options,
    Client: pg.Client,
  };
  warnIfPlain(options);
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: source }) });
  return { db, pool, close: () => (pool.ending ? Promise.resolve() : closeBoth(db, pool)) };
}

/** When one connection turns out to lead to a demoted server, all that were made before it do. */
class Generations {
  #current = 0;
  readonly #of = new WeakMap<pg.PoolClient, number>();

  add(client: pg.PoolClient): void {
    this.#of.set(client, this.#current);
  }

  end(): void {
    this.#current += 1;
  }

  isOver(client: pg.PoolClient): boolean {
    return this.#of.get(client) !== this.#current;
  }
}

/** A connection of the pool that is not known to be of no use; it leaves the pool if that shows while it is in use. */
async function checkOut(pool: pg.Pool, generations: Generations): Promise<PostgresPoolClient> {
  for (;;) {
    const client = await pool.connect();
    if (isLost(client) || generations.isOver(client)) {
      client.release(true);
      continue;
    }
    const release = client.release.bind(client);
    client.release = (error) => release(error || isLost(client) || generations.isOver(client));
    return client as unknown as PostgresPoolClient;
  }
}

/** Kysely ends the pool only if it was ever used. */
async function closeBoth<Tables>(db: Kysely<Tables>, pool: pg.Pool): Promise<void> {
  await db.destroy();
  if (!pool.ending) await pool.end();
}

function warnIfPlain({ connection, log }: OpenDatabaseOptions): void {
  if (!('url' in connection)) return;
  const { host, ssl } = connectionSettings(connection);
  if (ssl !== false || host!.startsWith('/') || LOOPBACK.test(host!)) return;
  log.warn(
    { host },
    'the connection to PostgreSQL is not encrypted, and its server not checked: add sslmode=verify-full to database.url',
  );
}

/** What a connection needs beside its limits; also for a connection of one's own, as for LISTEN. */
export function connectionSettings(connection: DatabaseConnection): pg.PoolConfig {
  if ('url' in connection) {
    const address = parseDatabaseUrl(connection.url);
    if (!address.ok) throw new DatabaseUrlError(`database.url cannot be used. ${address.refusal}`);
    const { durability = 'checked' } = connection;
    return {
      ...address.value,
      ssl: address.value.ssl,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
      // Awaited before anybody gets the connection (pg-pool/index.js); its failure is theirs.
      onConnect: (client) => assertFit(client, durability) as unknown as undefined,
    };
  }
  if ('host' in connection) return connection;
  const { socketDirectory, ...rest } = connection;
  return { ...rest, host: socketDirectory };
}
