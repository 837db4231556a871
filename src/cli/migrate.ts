import { createLogger } from '../kernel/log.ts';
import { migrate } from '../store/postgres/migrate.ts';
import { openDatabase } from '../store/postgres/open.ts';
import { CommandError } from './command_error.ts';
import { loadConfig } from './load_config.ts';

/** Brings an existing database to this release: `countersign migrate`. */
export async function migrateCommand(options: { readonly config?: string }): Promise<void> {
  const config = loadConfig({ file: options.config, overrides: {} });
  const { url, durability } = config.database;
  if (url === null) {
    throw new CommandError(
      'There is no database.url in the configuration (or COUNTERSIGN_DATABASE__URL in the environment). The embedded ' +
        'PostgreSQL is migrated when its server starts.',
    );
  }
  const log = createLogger({ level: config.log_level, name: 'countersign' });
  const database = openDatabase({ connection: { url, durability }, poolMax: 1, log });
  try {
    const applied = await migrate(database.db);
    for (const name of applied) process.stdout.write(`Applied ${name}\n`);
    const what = applied.length === 0 ? 'was current already; nothing was changed' : 'is current';
    process.stdout.write(`The schema ${what}. Servers of this release can start.\n`);
  } finally {
    await database.close();
  }
}
