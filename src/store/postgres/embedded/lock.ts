import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { processExists } from './cluster.ts';
import { EmbeddedPostgresError } from './failure.ts';
import { DEAD_HOLDER_GRACE_MS, POLL_INTERVAL_MS } from './limits.ts';

// An arbitrary pair, ours alone: "cnts" and "serv" as numbers.
const LOCK_CLASS = 0x636e7473;
const LOCK_OBJECT = 0x73657276;
const HOLDER_PREFIX = 'countersign server, process ';

/** Names the process in pg_stat_activity, where a second server reads who came first. */
export function lockApplicationName(): string {
  return `${HOLDER_PREFIX}${process.pid}`;
}

/** Takes the lock of this data directory for as long as `client` stays connected, or refuses naming the holder. */
export async function takeServerLock(client: pg.Client, dataDirectory: string): Promise<void> {
  const deadline = performance.now() + DEAD_HOLDER_GRACE_MS;
  for (;;) {
    const result = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1, $2) as taken', [
      LOCK_CLASS,
      LOCK_OBJECT,
    ]);
    if (result.rows[0]?.taken === true) return;
    const holder = await lockHolder(client);
    const holderMayBeGone = holder === undefined || !processExists(holder);
    if (!holderMayBeGone || performance.now() > deadline) throw inUse(dataDirectory, holder);
    await sleep(POLL_INTERVAL_MS);
  }
}

async function lockHolder(client: pg.Client): Promise<number | undefined> {
  const result = await client.query<{ application_name: string }>(
    `select application_name from pg_locks join pg_stat_activity using (pid)
     where locktype = 'advisory' and classid = $1 and objid = $2 and granted`,
    [LOCK_CLASS, LOCK_OBJECT],
  );
  const name = result.rows[0]?.application_name;
  return name?.startsWith(HOLDER_PREFIX) ? Number(name.slice(HOLDER_PREFIX.length)) : undefined;
}

function inUse(dataDirectory: string, holder: number | undefined): EmbeddedPostgresError {
  const who = holder === undefined ? 'another server' : `the server with process id ${holder}`;
  return new EmbeddedPostgresError(
    'directory_in_use',
    `The data directory ${dataDirectory} is in use by ${who}. One server owns one data directory: stop that server` +
      `${holder === undefined ? '' : ` (kill ${holder})`}, or start this one with another --data-dir.`,
  );
}
