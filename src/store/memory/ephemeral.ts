import { checkEntry } from '../check_entry.ts';
import type { EphemeralStore } from '../ephemeral.ts';
import { createChannels } from './channels.ts';
import { ExpiringMap } from './expiring_map.ts';
import { EPHEMERAL_ENTRIES_MAX } from './limits.ts';

export interface MemoryEphemeralOptions {
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
  readonly entriesMax?: number;
}

/** The ephemeral port for one process. It starts empty, so `remembersSince` is the moment it was made. */
export function createMemoryEphemeralStore(options: MemoryEphemeralOptions = {}): EphemeralStore {
  const now = options.now ?? Date.now;
  const entries = new ExpiringMap<string>(options.entriesMax ?? EPHEMERAL_ENTRIES_MAX, now);
  const channels = createChannels();
  let isClosed = false;
  // Every method is async so that a refusal rejects, as it would over a network; the work itself is one step.
  const check = (key: string, value = ''): void => {
    if (isClosed) throw new Error('The ephemeral store is closed.');
    checkEntry(key, value);
  };
  return {
    remembersSince: new Date(now()),
    async put(key, value, ttlMs) {
      check(key, value);
      entries.set(key, value, now() + ttlMs);
    },
    async get(key) {
      check(key);
      return entries.get(key);
    },
    async take(key) {
      check(key);
      const value = entries.get(key);
      entries.delete(key);
      return value;
    },
    async putIfAbsent(key, value, ttlMs) {
      check(key, value);
      if (ttlMs <= 0 || entries.get(key) !== undefined) return false;
      entries.set(key, value, now() + ttlMs);
      return true;
    },
    async increment(key, ttlMs) {
      check(key);
      const count = Number(entries.get(key) ?? '0') + 1;
      if (!Number.isSafeInteger(count)) throw new TypeError('The key holds a value that is not a counter.');
      if (!entries.replace(key, String(count))) entries.set(key, String(count), now() + ttlMs);
      return count;
    },
    async delete(key) {
      check(key);
      entries.delete(key);
    },
    async publish(channel, message) {
      check(channel, message);
      channels.publish(channel, message);
    },
    async subscribe(channel, listener) {
      check(channel);
      return channels.subscribe(channel, listener);
    },
    async close() {
      isClosed = true;
      entries.clear();
      channels.clear();
    },
  };
}
