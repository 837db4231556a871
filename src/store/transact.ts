import { setTimeout as sleep } from 'node:timers/promises';
import { TRANSACTION_RETRIES_MAX, TRANSACTION_RETRY_MS } from './limits.ts';
import { isAborted } from './postgres/outage.ts';
import type { AfterCommit, Store, Tx } from './store.ts';

/**
 * Runs `work` in one READ COMMITTED transaction and then its after-commit effects, in order. A throw rolls everything
 * back. An effect that fails is logged: PostgreSQL already decided, and readers poll for what a wake-up missed.
 */
export async function transact<Value>(
  store: Store,
  work: (tx: Tx, afterCommit: AfterCommit) => Promise<Value>,
): Promise<Value> {
  const effects: (() => Promise<void> | void)[] = [];
  const value = await store.db.transaction().execute((tx) => work(tx, (effect) => effects.push(effect)));
  for (const effect of effects) {
    try {
      await effect();
    } catch (error) {
      store.log.warn({ err: error }, 'an effect after commit failed; readers will catch up by polling');
    }
  }
  return value;
}

/**
 * As `transact`, and runs `work` again when PostgreSQL ended the transaction to resolve a deadlock or a serialization
 * failure: it says then that nothing was committed. For `work` that changes nothing but what `tx` rolls back. Nothing
 * else is run again: what became of a commit whose answer was lost is unknown, and the caller who asks again is told; a
 * lock that was not to be had within its time limit would only be waited for longer.
 */
export async function transactRepeatably<Value>(
  store: Store,
  work: (tx: Tx, afterCommit: AfterCommit) => Promise<Value>,
): Promise<Value> {
  for (let retries = 0; ; retries += 1) {
    try {
      return await transact(store, work);
    } catch (error) {
      if (!isAborted(error) || retries >= TRANSACTION_RETRIES_MAX) throw error;
      // Those that met are not to meet again.
      await sleep(Math.random() * TRANSACTION_RETRY_MS * 2 ** retries);
    }
  }
}
