import { join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { createMemoryArtifactStore } from '../store/memory/artifacts.ts';
import { createMemoryEphemeralStore } from '../store/memory/ephemeral.ts';
import { createPostgresArtifactStore } from '../store/postgres/artifacts.ts';
import { startEmbeddedPostgres } from '../store/postgres/embedded.ts';
import { migrate } from '../store/postgres/migrate.ts';
import { openDatabase } from '../store/postgres/open.ts';
import { endStalledConnections } from '../store/postgres/stall.ts';
import type { Tables } from '../store/postgres/tables.ts';
import { type Foundation, type FoundationOptions, storeOf } from './foundation.ts';
import { openVault } from './vault.ts';

/**
 * Opens the data directory: starts PostgreSQL there (refused if another server has it), migrates, loads the root key.
 * Throws `EmbeddedPostgresError`, `RootKeyError` or `SchemaNewerError`, whose messages say what to do.
 */
export async function openEmbeddedFoundation(config: Config, options: FoundationOptions): Promise<Foundation> {
  const { log } = options;
  const dataDirectory = resolve(config.data_directory);
  const postgres = await startEmbeddedPostgres({ dataDirectory, log, onLost: options.onLost });
  try {
    const vault = await openVault(config, {
      path: config.root_key_file ?? join(dataDirectory, 'root.key'),
      mayCreate: config.root_key_file === null,
    });
    const database = openDatabase<Tables>({ connection: postgres.connection, poolMax: config.database.pool_max, log });
    try {
      await migrate(database.db);
      // Not before: a migration may take its time.
      endStalledConnections(database.pool);
      const ephemeral = createMemoryEphemeralStore();
      const artifacts = {
        durable: createPostgresArtifactStore({ db: database.db, vault }),
        ephemeral: createMemoryArtifactStore(),
      };
      const stop = async () => {
        await ephemeral.close();
        await database.close();
        await postgres.stop();
      };
      return { store: storeOf(config, { database, ephemeral, vault, log }), database, artifacts, stop };
    } catch (error) {
      await database.close();
      throw error;
    }
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}
