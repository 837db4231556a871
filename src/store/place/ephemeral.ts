import type { EphemeralStore } from '../ephemeral.ts';
import type { MemoryKeeper } from './keeper.ts';
import { PLACE_ATTEMPTS_MAX } from './limits.ts';
import type { WakeUps } from './wake_ups.ts';

type Place = Omit<EphemeralStore, 'remembersSince'>;

/** The ephemeral port wherever the memory is: `run` picks the place, and another one when that fails. */
export function createPlacedEphemeralStore(options: {
  readonly keeper: Pick<MemoryKeeper, 'epoch' | 'settle'>;
  readonly run: <Value>(work: (store: Place) => Promise<Value>) => Promise<Value>;
  readonly wakeUps: WakeUps;
}): EphemeralStore {
  const { keeper, wakeUps } = options;
  let isClosed = false;
  const run: typeof options.run = (work) => {
    if (isClosed) return Promise.reject(new Error('The ephemeral store is closed.'));
    return options.run(work);
  };
  // Only marks need it: what is older than the memory must be known to be older when the caller compares, and of what is
  // younger the mark must be where the others look. A server that stood still may have marked in an epoch that had ended.
  const mark = async (put: (store: Place) => Promise<boolean>): Promise<boolean> => {
    for (let attempt = 1; attempt <= PLACE_ATTEMPTS_MAX; attempt += 1) {
      let markedIn = '';
      const isFirst = await run((store) => {
        markedIn = keeper.epoch.id;
        return put(store);
      });
      if (!isFirst) return false;
      await keeper.settle();
      if (keeper.epoch.id === markedIn) return true;
    }
    return false;
  };
  return {
    get remembersSince() {
      return keeper.epoch.since;
    },
    put: (...args) => run((store) => store.put(...args)),
    get: (...args) => run((store) => store.get(...args)),
    take: (...args) => run((store) => store.take(...args)),
    putIfAbsent: (...args) => mark((store) => store.putIfAbsent(...args)),
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
