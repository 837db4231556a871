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
