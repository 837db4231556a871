import { sql } from 'kysely';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { transactRepeatably } from '../../store/transact.ts';
import { REVOCATION_TRIES_MAX, REVOCATION_WAIT_MS_MAX } from '../limits.ts';

/** As PostgreSQL names it: a lock was not to be had in time. Nothing was written. */
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * As `transactRepeatably`, and more patient: those who share a lock on what is revoked let each other in, also past one who
 * waits to have it alone, so a busy agent can make a revocation wait longer than anything else may.
 */
export async function transactRevocation<Value>(
  store: Store,
  work: (tx: Tx, afterCommit: AfterCommit) => Promise<Value>,
): Promise<Value> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await transactRepeatably(store, async (tx, afterCommit) => {
        await sql`select set_config('lock_timeout', ${String(REVOCATION_WAIT_MS_MAX)}, true)`.execute(tx);
        return work(tx, afterCommit);
      });
    } catch (error) {
      if ((error as { code?: unknown }).code !== LOCK_NOT_AVAILABLE || tries >= REVOCATION_TRIES_MAX) throw error;
      store.log.warn({ tries }, 'a revocation waits for what goes on below it; it is tried again');
    }
  }
}
