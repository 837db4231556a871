import { resolve } from 'node:path';
import type { Config } from '../config.ts';
import { createPostgresArtifactStore } from '../store/postgres/artifacts.ts';
import { openDatabase } from '../store/postgres/open.ts';
import { isDatabaseAbsent } from '../store/postgres/outage.ts';
import { warnIfCrowded } from '../store/postgres/primary.ts';
import { assertSchemaCurrent } from '../store/postgres/schema_version.ts';
import { endStalledConnections } from '../store/postgres/stall.ts';
import type { Tables } from '../store/postgres/tables.ts';
import { loadRedisSettings } from '../store/redis/settings.ts';
import { openSharedMemory } from '../store/shared_memory.ts';
import { type Foundation, type FoundationOptions, storeOf } from './foundation.ts';
import { untilThere } from './until_there.ts';
import { openVault } from './vault.ts';

/**
 * Connects to a PostgreSQL that exists already and is migrated, and to Redis where there is one. Throws
 * `DatabaseUnfitError`, `SchemaNewerError`, `SchemaOlderError`, `RootKeyError`, `RedisSettingsError` or `RedisPolicyError`,
 * whose messages say what to do.
 */
export async function openExistingFoundation(
  config: Config,
  url: string,
  { log }: FoundationOptions,
): Promise<Foundation> {
  const vault = await openVault(config, { path: resolve(config.root_key_file ?? 'root.key'), mayCreate: false });
  const { durability, pool_max: poolMax } = config.database;
  const redis = await loadRedisSettings(config.redis);
  const connection = { url, durability };
  const database = openDatabase<Tables>({ connection, poolMax, log });
  try {
    await untilThere(() => assertSchemaCurrent(database.db), {
      what: 'PostgreSQL',
      setting: 'database.url',
      isAbsent: isDatabaseAbsent,
      log,
    });
    await warnIfCrowded(database.pool, poolMax, log);
    endStalledConnections(database.pool);
    const memory = await openSharedMemory({ redis, database, connection, vault, log });
    const { ephemeral } = memory;
    const durable = createPostgresArtifactStore({ db: database.db, vault });
    const artifacts = { durable, ephemeral: memory.artifacts };
    const stop = async () => {
      await memory.close();
      await database.close();
    };
    return { store: storeOf(config, { database, ephemeral, vault, log }), database, artifacts, stop };
  } catch (error) {
    await database.close();
    throw error;
  }
}
