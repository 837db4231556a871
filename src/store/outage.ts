import { isDatabaseOutage } from './postgres/outage.ts';
import { MemoryLost, RedisOutage } from './redis/errors.ts';

/** Whether a store, not the request, is why this failed, so that the answer is 503 and the caller may try again. */
export function isOutage(error: unknown): boolean {
  return isDatabaseOutage(error) || error instanceof RedisOutage || error instanceof MemoryLost;
}
