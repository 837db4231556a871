import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../kernel/logger.ts';
import { holdsEpoch, isSteady } from './epoch.ts';
import type { EpochPlace, MemoryKeeper } from './keeper.ts';
import { ENTRIES_PRUNE_MS, PLACE_POLL_MS, REDIS_CHECK_MS, REDIS_FAILURES_MAX } from './limits.ts';

export interface WatchOptions {
  readonly keeper: MemoryKeeper;
  /** Null where there is none. */
  readonly redis: EpochPlace | null;
  /** Called whenever Redis answered. */
  readonly onAnswer: () => void;
  readonly prune: () => Promise<unknown>;
  readonly log: Logger;
}

/**
 * Looks, without being asked: at the row that says where the memory is, at Redis, and for what expired in PostgreSQL.
 * Gives up a Redis that does not answer before a call has to wait for it, and goes back once it has answered for a while.
 */
export function watchMemory({ keeper, redis, onAnswer, prune, log }: WatchOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const every = async (milliseconds: number, what: string, look: () => Promise<unknown>) => {
    let isFailing = false;
    while (!stopping.signal.aborted) {
      await sleep(milliseconds, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      try {
        await look();
        isFailing = false;
      } catch (error) {
        if (!isFailing) log.warn({ err: error }, `${what} failed; it is tried again`);
        isFailing = true;
      }
    }
  };
  const loops = [
    every(PLACE_POLL_MS, 'reading where the memory is', () => keeper.refresh()),
    every(ENTRIES_PRUNE_MS, 'deleting expired entries', prune),
    ...(redis === null ? [] : [every(REDIS_CHECK_MS, 'looking after Redis', redisCheck(keeper, redis, onAnswer))]),
  ];
  return {
    async stop() {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

function redisCheck(keeper: MemoryKeeper, redis: EpochPlace, onAnswer: () => void): () => Promise<void> {
  let failures = 0;
  let answersSinceMs: number | undefined;
  return async () => {
    const { epoch } = keeper;
    let servers: readonly string[];
    try {
      servers = await redis.servers();
    } catch (error) {
      failures += 1;
      answersSinceMs = undefined;
      if (epoch.place === 'redis' && failures >= REDIS_FAILURES_MAX) await keeper.recover(epoch, 'outage');
      throw error;
    }
    failures = 0;
    answersSinceMs ??= performance.now();
    onAnswer();
    if (epoch.place === 'redis') {
      if (!holdsEpoch(epoch, servers)) await keeper.recover(epoch, 'lost');
      return;
    }
    if (!isSteady(performance.now() - answersSinceMs, keeper.setbacks)) return;
    answersSinceMs = undefined;
    await keeper.returnToRedis();
  };
}
