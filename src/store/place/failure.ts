import { MemoryLost, RedisOutage } from '../redis/errors.ts';
import type { MemoryFailure } from './epoch.ts';

/** What a failed operation says about its place; undefined for what no other place would cure. */
export function memoryFailureOf(error: unknown): MemoryFailure | undefined {
  if (error instanceof RedisOutage) return 'outage';
  return error instanceof MemoryLost ? 'lost' : undefined;
}
