import { randomUUID } from 'node:crypto';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { createVault } from '../../../src/kernel/vault.ts';
import { createRedisArtifactStore } from '../../../src/store/redis/artifacts.ts';
import { connectRedis } from '../../../src/store/redis/connect.ts';
import type { RedisConnection, RedisEpoch } from '../../../src/store/redis/connection.ts';
import { createRedisEphemeralStore } from '../../../src/store/redis/ephemeral.ts';
import type { RedisSettings } from '../../../src/store/redis/settings.ts';

/** Both ports over one connection, in an epoch of their own or in that of others. */
export async function openStores(settings: RedisSettings, epoch?: RedisEpoch) {
  const connection = await connectRedis(settings, silentLogger);
  const own = epoch ?? (await newEpoch(connection));
  return { connection, epoch: own, ...storesOver(connection, own) };
}

export async function newEpoch(connection: RedisConnection): Promise<RedisEpoch> {
  const epoch = { id: randomUUID(), servers: await connection.servers() };
  await connection.seed(epoch.id);
  return epoch;
}

export function storesOver(connection: RedisConnection, epoch: RedisEpoch) {
  const vault = createVault(Buffer.alloc(32, 7));
  return {
    ephemeral: createRedisEphemeralStore({ connection, epoch: () => epoch }),
    artifacts: createRedisArtifactStore({ connection, vault, epoch: () => epoch }),
  };
}
