import { sql } from 'kysely';
import type { Config } from '../config.ts';
import { pruneEvents, thinCheckpoints } from '../events/prune.ts';
import type { Store } from '../store/store.ts';
import { pruneStepUps } from '../tasks/prune.ts';
import {
  OUTBOX_KEPT_DAYS,
  PEOPLE_RECORDS_KEPT_DAYS,
  PRUNE_MS,
  PRUNE_OLD_ROUNDS,
  PRUNE_ROWS_MAX,
  RECEIVED_SIGNALS_KEPT_DAYS,
  REVOKED_TOKENS_KEPT_SECONDS,
} from './limits.ts';

/** Of many nodes one prunes at a time; the others have nothing to do. The number only has to differ from other locks of ours. */
const PRUNE_LOCK = 7_310_004;

export interface Pruning {
  /** Everything, now. False if another node is at it. */
  prune(): Promise<boolean>;
  stop(): Promise<void>;
}

/**
 * Deletes what expired, every minute, and once an hour what is past its retention (docs/storage.md). One node at a time:
 * the lock is that of a connection, so it goes with the process that holds it.
 */
export function startPruning(
  store: Store,
  artifacts: { prune(): Promise<number> },
  retention: Config['retention'],
): Pruning {
  let round = 0;
  let running: Promise<unknown> = Promise.resolve();
  let isStopped = false;
  const prune = (isAll: boolean) =>
    alone(store, async (locked) => {
      await pruneExpired(locked, artifacts);
      if (isAll) await pruneOld(locked, retention);
    });
  const timer = setInterval(() => {
    round += 1;
    const isAll = round % PRUNE_OLD_ROUNDS === 0;
    running = running.then(async () => {
      if (isStopped) return;
      await prune(isAll).catch((error: unknown) =>
        store.log.warn({ err: error }, 'pruning failed; it goes on where it was, next time'),
      );
    });
  }, PRUNE_MS);
  timer.unref();
  return {
    prune: () => prune(true),
    async stop() {
      isStopped = true;
      clearInterval(timer);
      await running;
    },
  };
}

/** Works on the connection that holds the lock: one that stands still for long is ended. */
async function alone(store: Store, work: (store: Store) => Promise<void>): Promise<boolean> {
  return store.db.connection().execute(async (db) => {
    const { rows } = await sql<{ locked: boolean }>`select pg_try_advisory_lock(${PRUNE_LOCK}) as locked`.execute(db);
    if (!rows[0]!.locked) return false;
    try {
      await work({ ...store, db });
      return true;
    } finally {
      await sql`select pg_advisory_unlock(${PRUNE_LOCK})`.execute(db);
    }
  });
}

async function pruneExpired(store: Store, artifacts: { prune(): Promise<number> }): Promise<void> {
  while ((await artifacts.prune()) > 0) await sql`select 1`.execute(store.db);
  await deleteWhere(store, 'ephemeral_entries', 'expires_at < now()');
  await deleteWhere(store, 'token_statuses', 'expires_at < now()');
  await deleteWhere(store, 'revoked_tokens', `expires_at < now() - interval '${REVOKED_TOKENS_KEPT_SECONDS} seconds'`);
}

async function pruneOld(store: Store, retention: Config['retention']): Promise<void> {
  await deleteWhere(store, 'sessions', `expires_at < ${daysAgo(PEOPLE_RECORDS_KEPT_DAYS)}`);
  await deleteWhere(store, 'links', `expires_at < ${daysAgo(PEOPLE_RECORDS_KEPT_DAYS)}`);
  await deleteWhere(store, 'outbox', `state <> 'waiting' and finished_at < ${daysAgo(OUTBOX_KEPT_DAYS)}`);
  await deleteWhere(store, 'signal_messages', `state = 'failed' and created_at < ${daysAgo(OUTBOX_KEPT_DAYS)}`);
  await deleteWhere(store, 'received_signals', `received_at < ${daysAgo(RECEIVED_SIGNALS_KEPT_DAYS)}`);
  while ((await thinCheckpoints(store)) > 0);
  if (retention.step_ups_days !== null) await pruneStepUps(store, retention.step_ups_days);
  if (retention.audit_days !== null) await pruneEvents(store, retention.audit_days);
}

function daysAgo(days: number): string {
  return `now() - interval '${days} days'`;
}

/** In batches, so that no statement runs long or holds many locks. */
async function deleteWhere(store: Store, table: string, condition: string): Promise<void> {
  const statement = sql.raw(`delete from ${table} where ctid in (
    select ctid from ${table} where ${condition} limit ${PRUNE_ROWS_MAX} for update skip locked)`);
  for (;;) {
    const { numAffectedRows } = await statement.execute(store.db);
    if (Number(numAffectedRows ?? 0n) < PRUNE_ROWS_MAX) return;
  }
}
