import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/postgres/embedded.ts';
import { migrate } from '../../src/store/postgres/migrate.ts';
import { openDatabase, type SocketConnection } from '../../src/store/postgres/open.ts';
import { openRunDirectory, removeScratchDirectory } from './scratch.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The superuser of the PostgreSQL that the whole run shares. */
    postgresAdministration: SocketConnection;
    /** The application's role, on the migrated template. */
    postgresTemplate: SocketConnection;
  }
}

// Speed for throw-away data. Durability has its own tests, on clusters with the product's settings.
const SETTINGS = { fsync: 'off', full_page_writes: 'off', max_connections: '250' };
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** One PostgreSQL for the whole run, with a migrated template from which each test file copies its own database. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const runDirectory = await openRunDirectory();
  // Without a listener a signal ends the process before its exit handlers, which stop PostgreSQL, have run.
  for (const [signal, status] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(status));
  const dataDirectory = join(runDirectory, 'all');
  const server = await startEmbeddedPostgres({ dataDirectory, log: silentLogger, settings: SETTINGS });
  const teardown = async () => {
    await server.stop();
    await removeScratchDirectory(runDirectory);
  };
  try {
    await migrateTemplate(server);
  } catch (error) {
    await teardown();
    throw error;
  }
  project.provide('scratchDirectory', runDirectory);
  project.provide('postgresAdministration', server.administration);
  project.provide('postgresTemplate', server.connection);
  return teardown;
}

async function migrateTemplate(server: EmbeddedPostgres): Promise<void> {
  const template = openDatabase({ connection: server.connection, poolMax: 1, log: silentLogger });
  await migrate(template.db).finally(template.close);
}
