import { checkEntry } from '../check_entry.ts';
import type { EphemeralStore } from '../ephemeral.ts';
import type { RedisConnection, RedisEpoch } from './connection.ts';
import { RedisOutage } from './errors.ts';
import { type EntryName, entryName } from './keys.ts';
import type { ScriptName } from './scripts.ts';

/** The ephemeral port on Redis. Every operation reads `epoch()` once. `close()` leaves the connection open. */
export function createRedisEphemeralStore(options: {
  readonly connection: RedisConnection;
  readonly epoch: () => RedisEpoch;
}): Omit<EphemeralStore, 'remembersSince'> {
  const { connection, epoch } = options;
  let isClosed = false;
  const entry = (key: string, value?: string): EntryName => {
    if (isClosed) throw new RedisOutage('closed', 'The ephemeral store is closed.');
    checkEntry(key, value);
    return entryName('entry', key);
  };
  const run = (script: ScriptName, name: EntryName, ...values: (string | number)[]) =>
    connection.run(epoch(), script, name, ...values);
  return {
    async put(key, value, ttlMs) {
      const name = entry(key, value);
      if (ttlMs <= 0) await run('delete', name);
      else await run('put', name, value, wholeMs(ttlMs));
    },
    async get(key) {
      return (await run('get', entry(key))) as string | undefined;
    },
    async take(key) {
      return (await run('take', entry(key))) as string | undefined;
    },
    async putIfAbsent(key, value, ttlMs) {
      const name = entry(key, value);
      return ttlMs > 0 && (await run('putIfAbsent', name, value, wholeMs(ttlMs))) === 'put';
    },
    async increment(key, ttlMs) {
      return Number(await run('increment', entry(key), wholeMs(ttlMs)));
    },
    async delete(key) {
      await run('delete', entry(key));
    },
    async publish(channel, message) {
      entry(channel, message);
      await connection.publish(channel, message);
    },
    async subscribe(channel, listener) {
      entry(channel);
      return connection.subscribe(channel, listener);
    },
    async close() {
      isClosed = true;
    },
  };
}

/** Redis takes whole milliseconds only, and a time is not cut short. */
function wholeMs(ttlMs: number): number {
  return Math.max(Math.ceil(ttlMs), 0);
}
