import type pg from 'pg';

/**
 * Committed here, but perhaps not at the synchronous standby: PostgreSQL gave up waiting for it, says so in a warning only,
 * and reports success. SQLSTATE 08007, transaction_resolution_unknown.
 */
export class CommitUnknownError extends Error {
  override name = 'CommitUnknownError';
  readonly code = '08007';

  constructor() {
    super('PostgreSQL committed without its synchronous standby: whether this survives a failover is unknown');
  }
}

// Connections that answered one of these are of no use to the next caller: a demoted or standby server (25006), one that
// shuts down (57P01-57P03), a broken one (class 08).
const LOST = /^(25006|57P0[123]|08...)$/;
/** The function of PostgreSQL that raises the warning; its text depends on the server's language. */
const SYNCHRONOUS_WAIT = 'SyncRepWaitForLSN';

const lost = new WeakSet<pg.PoolClient>();

/** Whether a statement on this connection showed that its server must not be asked again. */
export function isLost(client: pg.PoolClient): boolean {
  return lost.has(client);
}

/**
 * Watches what comes back on a connection: remembers that it is lost, telling `onReadOnly` when it leads to a server that
 * takes no writes any more, and turns the warning about a commit that did not reach the standby into a failure.
 */
export function watchConnection(client: pg.PoolClient, onReadOnly: () => void): void {
  let isUnknown = false;
  client.on('notice', (notice) => {
    if ((notice as { routine?: string }).routine === SYNCHRONOUS_WAIT) isUnknown = true;
  });
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  const watched = (...args: unknown[]): unknown => {
    isUnknown = false;
    const running = query(...args);
    if (!(running instanceof Promise)) return running;
    return running.then(
      (result: unknown) => {
        if (isUnknown) throw new CommitUnknownError();
        return result;
      },
      (error: unknown) => {
        const { code } = error as { code?: unknown };
        if (typeof code === 'string' && LOST.test(code)) lost.add(client);
        if (code === '25006') onReadOnly();
        throw error;
      },
    );
  };
  client.query = watched as typeof client.query;
}
