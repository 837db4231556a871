import type { Logger } from '../../kernel/logger.ts';
import type { EphemeralStore } from '../ephemeral.ts';
import type { RedisConnection, RedisEpoch } from './connection.ts';

/** The ephemeral port on Redis. Every operation reads `epoch()` once. `close()` leaves the connection open. */
export function createRedisEphemeralStore(_options: {
  readonly connection: RedisConnection;
  readonly epoch: () => RedisEpoch;
  readonly log: Logger;
}): Omit<EphemeralStore, 'remembersSince'> {
  throw new Error('Redis is not built yet.');
}
