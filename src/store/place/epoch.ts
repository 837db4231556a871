import { REDIS_SETBACKS_MAX, REDIS_SETTLED_MS, REDIS_STEADY_MS } from './limits.ts';

export type Place = 'redis' | 'postgres';

/**
 * One life of what may be lost: where it is, and since when it forgot nothing. Whatever was written in another epoch is out
 * of reach, so that no dump, no replica and no emptied table can bring back or take away a part of it.
 */
export interface MemoryEpoch {
  readonly id: string;
  readonly place: Place;
  /** By PostgreSQL's clock, a whole second: `iat` of a proof is one, too. */
  readonly since: Date;
  /** The identities of the Redis servers that hold it; none in PostgreSQL. */
  readonly servers: readonly string[];
}

/** Why an operation failed: its place does not answer, or answers and does not hold this epoch any more. */
export type MemoryFailure = 'outage' | 'lost';

export type Recovery = { readonly step: 'adopt' } | { readonly step: 'begin'; readonly place: Place };

/** What to do after an operation in the epoch `failed` met `failure`, when PostgreSQL says that `stored` is the epoch. */
export function recoveryFrom(failed: MemoryEpoch, stored: MemoryEpoch, failure: MemoryFailure): Recovery {
  if (stored.id !== failed.id) return { step: 'adopt' };
  const isThere = failure === 'lost';
  return { step: 'begin', place: isThere ? failed.place : 'postgres' };
}

/**
 * Epochs in Redis that ended soon after they began, in a row. A server that alone cannot reach Redis, or reaches another
 * one, would else move everybody's memory to and fro every few seconds.
 */
export function setbacksAfter(left: MemoryEpoch, next: MemoryEpoch, setbacks: number): number {
  if (left.place !== 'redis') return setbacks;
  const lastedMs = next.since.getTime() - left.since.getTime();
  return lastedMs < REDIS_SETTLED_MS ? Math.min(setbacks + 1, REDIS_SETBACKS_MAX) : 0;
}

/** Whether Redis has answered for long enough to be used again. */
export function isSteady(answeredForMs: number, setbacks: number): boolean {
  return answeredForMs >= REDIS_STEADY_MS * 2 ** Math.max(0, setbacks - 1);
}

/** Whether the servers that answer now are those that hold the epoch. */
export function holdsEpoch(epoch: MemoryEpoch, servers: readonly string[]): boolean {
  return epoch.servers.length === servers.length && servers.every((server) => epoch.servers.includes(server));
}
