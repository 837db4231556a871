import type { EphemeralStore } from '../ephemeral.ts';
import type { MemoryKeeper } from './keeper.ts';
import type { WakeUps } from './wake_ups.ts';

/** The ephemeral port wherever the memory is: `run` picks the place, and another one when that fails. */
export function createPlacedEphemeralStore(options: {
  readonly keeper: Pick<MemoryKeeper, 'epoch' | 'settle'>;
  readonly run: <Value>(work: (store: Omit<EphemeralStore, 'remembersSince'>) => Promise<Value>) => Promise<Value>;
  readonly wakeUps: WakeUps;
}): EphemeralStore {
  const { keeper, wakeUps } = options;
  let isClosed = false;
  const run: typeof options.run = (work) => {
    if (isClosed) return Promise.reject(new Error('The ephemeral store is closed.'));
    return options.run(work);
  };
  return {
    get remembersSince() {
      return keeper.epoch.since;
    },
    put: (...args) => run((store) => store.put(...args)),
    get: (...args) => run((store) => store.get(...args)),
    take: (...args) => run((store) => store.take(...args)),
    async putIfAbsent(...args) {
      const isFirst = await run((store) => store.putIfAbsent(...args));
      // Only marks need it: what is older than the memory must be known to be older when the caller compares.
      if (isFirst) await keeper.settle();
      return isFirst;
    },
    increment: (...args) => run((store) => store.increment(...args)),
    delete: (...args) => run((store) => store.delete(...args)),
    publish: (...args) => run((store) => store.publish(...args)),
    subscribe: async (channel, listener) => {
      if (isClosed) throw new Error('The ephemeral store is closed.');
      return wakeUps.subscribe(channel, listener);
    },
    async close() {
      isClosed = true;
    },
  };
}
