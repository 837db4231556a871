import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { createLogger } from '../kernel/log.ts';
import { storeOf } from '../server/foundation.ts';
import { openFoundation } from '../server/open_foundation.ts';
import { openVault } from '../server/vault.ts';
import { createMemoryEphemeralStore } from '../store/memory/ephemeral.ts';
import { EmbeddedPostgresError } from '../store/postgres/embedded/failure.ts';
import { openDatabase } from '../store/postgres/open.ts';
import { assertSchemaCurrent } from '../store/postgres/schema_version.ts';
import type { Tables } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { CommandError } from './command_error.ts';
import { devConfig } from './dev.ts';

export interface KeysOptions {
  readonly dataDir?: string;
  readonly config?: string;
  readonly json?: boolean;
}

export interface KeyPlace {
  readonly config: Config;
  readonly store: Store;
  /** Servers run on it: they read the keys each second. */
  readonly isRunning: boolean;
  close(): Promise<void>;
}

/**
 * The PostgreSQL that the configuration names, while servers run on it, or the data directory of a stopped server. Redis is not
 * opened: keys must change also while it is down, and servers look for themselves.
 */
export async function openKeyPlace(options: KeysOptions): Promise<KeyPlace> {
  const config = await devConfig(options);
  const { url } = config.database;
  return options.dataDir === undefined && url !== null ? openRunning(config, url) : openStopped(config);
}

async function openRunning(config: Config, url: string): Promise<KeyPlace> {
  const log = createLogger({ level: 'warn', name: 'countersign' });
  const vault = await openVault(config, { path: resolve(config.root_key_file ?? 'root.key'), mayCreate: false });
  const { durability } = config.database;
  const database = openDatabase<Tables>({ connection: { url, durability }, poolMax: 2, log });
  const ephemeral = createMemoryEphemeralStore();
  try {
    await assertSchemaCurrent(database.db);
  } catch (error) {
    await database.close();
    throw error;
  }
  const store = storeOf(config, { database, ephemeral, vault, log });
  return { config, store, isRunning: true, close: () => database.close() };
}

async function openStopped(config: Config): Promise<KeyPlace> {
  if (!existsSync(join(config.data_directory, 'postgres'))) {
    throw new CommandError(
      `There is no server's data in ${config.data_directory}. Name its data directory with --data-dir, or the database of ` +
        'running servers with database.url in the configuration.',
    );
  }
  const log = createLogger({ level: 'warn', name: 'countersign' });
  const embedded = { ...config, database: { ...config.database, url: null } };
  try {
    const { store, stop } = await openFoundation(embedded, { log, onLost: () => {} });
    return { config, store, isRunning: false, close: stop };
  } catch (error) {
    if (!(error instanceof EmbeddedPostgresError) || error.code !== 'directory_in_use') throw error;
    throw new CommandError(
      `A server runs on ${config.data_directory}, and its embedded PostgreSQL serves nobody else. Stop the server, run this ` +
        'command again, and start it: it finds the keys as they are then. Servers on a PostgreSQL of their own ' +
        '(countersign serve) need not stop.',
    );
  }
}
