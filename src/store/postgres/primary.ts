import type pg from 'pg';
import type { Logger } from '../../kernel/logger.ts';
import { CONNECTION_CHECK_TIMEOUT_MS, VERSION_MIN } from './limits.ts';

/** The server behind `database.url` cannot keep what Countersign promises. The message says what to change. */
export class DatabaseUnfitError extends Error {
  override name = 'DatabaseUnfitError';
  /** 25006 for a standby, else 55000, object_not_in_prerequisite_state. */
  readonly code: string;

  constructor(problem: DatabaseProblem) {
    super(problem.message);
    this.code = problem.isStandby ? '25006' : '55000';
  }
}

interface DatabaseProblem {
  readonly message: string;
  readonly isStandby: boolean;
}

interface Found {
  readonly is_standby: boolean;
  readonly version: number;
  readonly version_text: string;
  readonly fsync: string;
  readonly full_page_writes: string;
}

const QUESTION = `select pg_is_in_recovery() as is_standby, current_setting('server_version_num')::int as version,
  current_setting('server_version') as version_text, current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes`;

/** `assumed`: for throw-away data, or a file system that never tears a page. */
export type Durability = 'checked' | 'assumed';

/**
 * Refuses a new connection that does not lead to a primary which keeps what it acknowledged. Asked of each one, since after
 * a failover the same address leads to another server; nothing is ever read from a standby, which may not know of a
 * revocation yet.
 */
export async function assertFit(client: pg.ClientBase, durability: Durability): Promise<void> {
  const question = { text: QUESTION, query_timeout: CONNECTION_CHECK_TIMEOUT_MS } as pg.QueryConfig;
  const { rows } = await client.query<Found>(question);
  const problem = problemOf(rows[0]!, durability);
  if (problem !== null) throw new DatabaseUnfitError(problem);
}

function problemOf(found: Found, durability: Durability): DatabaseProblem | null {
  if (found.is_standby) {
    return {
      message:
        'The address leads to a standby of PostgreSQL. Countersign reads and writes the primary only: let ' +
        'database.url name an address that follows the primary.',
      isStandby: true,
    };
  }
  if (found.version < VERSION_MIN * 10_000) {
    const message = `This is PostgreSQL ${found.version_text}. Countersign needs ${VERSION_MIN} or later: upgrade the server.`;
    return { message, isStandby: false };
  }
  const off = (['fsync', 'full_page_writes'] as const).find((name) => found[name] === 'off');
  if (off === undefined || durability === 'assumed') return null;
  const message =
    `PostgreSQL runs with ${off} = off and can lose decisions and revocations that it acknowledged. Set ${off} = on in ` +
    'postgresql.conf and reload it. Only for data that may be lost, or a file system that never tears a page: ' +
    'database.durability: assumed.';
  return { message, isStandby: false };
}

interface Room {
  readonly places: number;
  readonly taken: number;
}

/** Says so when the server has no room for this process beside what is connected already. */
export async function warnIfCrowded(pool: pg.Pool, poolMax: number, log: Logger): Promise<void> {
  const { rows } = await pool.query<Room>(`
    select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int as places,
      (select count(*)::int from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()) as taken`);
  const { places, taken } = rows[0]!;
  if (taken + poolMax <= places) return;
  log.warn(
    { places, taken, pool_max: poolMax },
    'PostgreSQL has fewer connections left than this server may open: under load, requests will be answered 503. ' +
      'Raise max_connections of PostgreSQL, or lower database.pool_max',
  );
}
