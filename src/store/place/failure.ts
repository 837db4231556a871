import { MemoryLost, RedisOutage, RedisPolicyError } from '../redis/errors.ts';
import type { MemoryFailure } from './epoch.ts';

/**
 * What a failed operation says about its place; undefined for what no other place would cure. That Redis is closed by this
 * server, or that this server asks too much at a time, says nothing about Redis.
 */
export function memoryFailureOf(error: unknown): MemoryFailure | undefined {
  if (error instanceof MemoryLost) return 'lost';
  if (error instanceof RedisPolicyError) return 'outage';
  return error instanceof RedisOutage && error.reason !== 'closed' && error.reason !== 'busy' ? 'outage' : undefined;
}
