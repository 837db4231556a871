import type { Unsubscribe } from '../store/ephemeral.ts';
import type { Store } from '../store/store.ts';

const bells = new WeakMap<Store['ephemeral'], Set<() => void>>();

/**
 * Wakes the sealer of this process. Others are not told: one sealer is enough for an event, so a message to all of them
 * with every commit would only make them look for nothing. If this process dies first they find it by looking.
 */
export function ringSealer({ ephemeral }: Pick<Store, 'ephemeral'>): void {
  for (const wake of bells.get(ephemeral) ?? []) wake();
}

export function onSealerBell({ ephemeral }: Pick<Store, 'ephemeral'>, wake: () => void): Unsubscribe {
  const listeners = bells.get(ephemeral) ?? new Set();
  bells.set(ephemeral, listeners.add(wake));
  return () => listeners.delete(wake);
}
