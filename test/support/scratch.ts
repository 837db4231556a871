import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { inject } from 'vitest';
import { recordedPostmaster, signalPostmaster } from '../../src/store/postgres/embedded/postmaster.ts';

declare module 'vitest' {
  interface ProvidedContext {
    scratchDirectory: string;
  }
}

/** Directories of all runs; git ignores it. A run's own is named by its process id, so that a later run can clean up. */
const RUNS = join(import.meta.dirname, '..', '..', '.test');
const REMOVE_ATTEMPTS = 40;
const REMOVE_RETRY_MS = 50;

/** A new directory for one test, in the directory of the run. Whatever PostgreSQL runs in it ends with the run. */
export function makeScratchDirectory(name: string): Promise<string> {
  return mkdtemp(join(inject('scratchDirectory'), `${name}-`));
}

/** Stops every PostgreSQL that still runs below `directory`, without mercy, and removes the directory. */
export async function removeScratchDirectory(directory: string): Promise<void> {
  stopEveryPostgres(directory);
  // A dying server still writes its last files for a moment.
  await rm(directory, { recursive: true, force: true, maxRetries: REMOVE_ATTEMPTS, retryDelay: REMOVE_RETRY_MS });
}

/** The directory of this run, after removing those of runs that were killed. For the global set-up alone. */
export async function openRunDirectory(): Promise<string> {
  await mkdir(RUNS, { recursive: true });
  for (const name of await readdir(RUNS)) {
    const pid = Number(/^run-(\d+)$/.exec(name)?.[1]);
    if (!Number.isNaN(pid) && !isAnotherRun(pid)) await removeScratchDirectory(join(RUNS, name));
  }
  const directory = join(RUNS, `run-${process.pid}`);
  await mkdir(directory);
  // However this run ends short of kill -9, also when its workers were killed before their tests cleaned up.
  process.once('exit', () => stopEveryPostgres(directory));
  return directory;
}

function isAnotherRun(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return pid !== process.pid;
  } catch {
    return false;
  }
}

/** Synchronous, because it also runs while the process exits. */
function stopEveryPostgres(directory: string): void {
  for (const cluster of clustersBelow(directory)) {
    const pid = recordedPostmaster(cluster);
    if (pid !== undefined) signalPostmaster(pid, cluster, 'SIGQUIT');
  }
}

function clustersBelow(directory: string): string[] {
  try {
    const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
    return names.filter((name) => name.endsWith('/postmaster.pid')).map((name) => join(directory, dirname(name)));
  } catch {
    // Already removed, or a cluster changed while it was read: the next run cleans up.
    return [];
  }
}
