import type { EphemeralStore } from '../ephemeral.ts';
import { ExpiringMap } from './expiring_map.ts';
import { EPHEMERAL_ENTRIES_MAX, KEY_CHARACTERS_MAX, VALUE_BYTES_MAX } from './limits.ts';

export interface MemoryEphemeralOptions {
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
  readonly entriesMax?: number;
}

type Listener = (message: string) => void;

/** The ephemeral port for one process. It starts empty, so `remembersSince` is the moment it was made. */
export function createMemoryEphemeralStore(options: MemoryEphemeralOptions = {}): EphemeralStore {
  const now = options.now ?? Date.now;
  const entries = new ExpiringMap<string>(options.entriesMax ?? EPHEMERAL_ENTRIES_MAX, now);
  const channels = new Map<string, Set<Listener>>();
  let isClosed = false;
  // Every method is async so that a refusal rejects, as it would over a network; the work itself is one step.
  const check = (key: string, value = ''): void => {
    if (isClosed) throw new Error('The ephemeral store is closed.');
    if (key.length > KEY_CHARACTERS_MAX) throw new RangeError(`A key has at most ${KEY_CHARACTERS_MAX} characters.`);
    if (Buffer.byteLength(value) > VALUE_BYTES_MAX)
      throw new RangeError(`A value has at most ${VALUE_BYTES_MAX} bytes.`);
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
      // Not in the publisher's stack, as over a network: a listener must not run inside its caller's critical steps.
      for (const listener of channels.get(channel) ?? []) {
        setImmediate(() => {
          if (channels.get(channel)?.has(listener)) listener(message);
        });
      }
    },
    async subscribe(channel, listener) {
      check(channel);
      // A function of its own, so that one listener may subscribe twice and unsubscribe once.
      const own: Listener = (message) => listener(message);
      const listeners = channels.get(channel) ?? new Set();
      channels.set(channel, listeners.add(own));
      return () => {
        listeners.delete(own);
        if (listeners.size === 0 && channels.get(channel) === listeners) channels.delete(channel);
      };
    },
    async close() {
      isClosed = true;
      entries.clear();
      channels.clear();
    },
  };
}
