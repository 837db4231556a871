import type { Socket } from 'node:net';
import type pg from 'pg';
import { STALL_TIMEOUT_MS } from './limits.ts';

/**
 * Ends a connection in use on which nothing arrives for too long. A PostgreSQL that stands still keeps no limit of its own:
 * without this its callers wait for ever. The connection is not used again, so that what was under way on it cannot end
 * up in somebody else's transaction; whether that was committed is unknown, as whenever a connection is lost.
 */
export function endStalledConnections(pool: pg.Pool): void {
  pool.on('acquire', (client) => {
    const socket = socketOf(client);
    socket.setTimeout(STALL_TIMEOUT_MS);
    socket.removeListener('timeout', destroy);
    socket.once('timeout', destroy);
  });
  pool.on('release', (_error, client) => {
    const socket = socketOf(client);
    socket.setTimeout(0);
    socket.removeListener('timeout', destroy);
  });
}

function destroy(this: Socket): void {
  const message = `PostgreSQL has not answered for ${STALL_TIMEOUT_MS / 1000} s`;
  this.destroy(Object.assign(new Error(message), { code: 'ETIMEDOUT' }));
}

// `pg` has no other way to its socket (pg/lib/connection.js).
function socketOf(client: pg.PoolClient): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}
