import type { Logger } from '../../kernel/logger.ts';
import type { RedisConnection } from './connection.ts';
import type { RedisSettings } from './settings.ts';

/**
 * Connects to a Redis, to the primary the Sentinels name, or to a Cluster. Throws `RedisPolicyError` if one of its
 * primaries may evict or is older than 7.0, and `RedisOutage` if Redis does not answer in time: connect again later.
 */
export async function connectRedis(_settings: RedisSettings, _log: Logger): Promise<RedisConnection> {
  throw new Error('Redis is not built yet.');
}
