import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { silentLogger } from '../../src/kernel/logger.ts';
import { startEmbeddedPostgres } from '../../src/store/postgres/embedded.ts';
import { migrate } from '../../src/store/postgres/migrate.ts';
import { openDatabase, type SocketConnection } from '../../src/store/postgres/open.ts';
import { removeCluster } from './remove_cluster.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The superuser of the PostgreSQL that the whole run shares. */
    postgresAdministration: SocketConnection;
    /** The application's role, on the migrated template. */
    postgresTemplate: SocketConnection;
  }
}

const RUNS = join(import.meta.dirname, '..', '..', '.test');
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

// Speed for throw-away data. Durability has its own tests, on clusters with the product's settings.
const SETTINGS = { fsync: 'off', full_page_writes: 'off', max_connections: '250' };

/** One PostgreSQL for the whole run, with a migrated template from which each test file copies its own database. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await mkdir(RUNS, { recursive: true });
  await removeAbandonedRuns();
  const dataDirectory = join(RUNS, `run-${process.pid}`);
  const server = await startEmbeddedPostgres({ dataDirectory, log: silentLogger, settings: SETTINGS });
  const onSignal = (signal: NodeJS.Signals) => process.exit(SIGNALS[signal as keyof typeof SIGNALS]);
  for (const signal of Object.keys(SIGNALS)) process.once(signal, onSignal);
  const teardown = async () => {
    for (const signal of Object.keys(SIGNALS)) process.removeListener(signal, onSignal);
    await server.stop();
    await rm(dataDirectory, { recursive: true, force: true });
  };
  try {
    const template = openDatabase({ connection: server.connection, poolMax: 1, log: silentLogger });
    await migrate(template.db).finally(() => template.close());
    project.provide('postgresAdministration', server.administration);
    project.provide('postgresTemplate', server.connection);
  } catch (error) {
    await teardown();
    throw error;
  }
  return teardown;
}

/** A run that was killed could not clean up; its directory is named by its process id. */
async function removeAbandonedRuns(): Promise<void> {
  for (const name of await readdir(RUNS)) {
    const pid = Number(/^run-(\d+)$/.exec(name)?.[1]);
    if (Number.isNaN(pid) || isVitest(pid)) continue;
    await removeCluster(join(RUNS, name));
  }
}

function isVitest(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return pid !== process.pid;
  } catch {
    return false;
  }
}
