import type { Vault } from '../../kernel/vault.ts';
import type { ArtifactStore } from '../artifacts.ts';
import type { RedisConnection, RedisEpoch } from './connection.ts';

/** The artifact port on Redis, for kinds that may be lost. Ids are hashed and payloads sealed. */
export function createRedisArtifactStore(_options: {
  readonly connection: RedisConnection;
  readonly vault: Vault;
  readonly epoch: () => RedisEpoch;
}): ArtifactStore {
  throw new Error('Redis is not built yet.');
}
