import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open, readFile, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Binaries } from './binaries.ts';
import { type ClusterPaths, processExists, reachOf, type SocketPlace } from './cluster.ts';
import { EmbeddedPostgresError } from './failure.ts';
import {
  EMPTY_PID_FILE_AGE_MS,
  FAST_STOP_TIMEOUT_MS,
  IMMEDIATE_STOP_TIMEOUT_MS,
  LOG_TAIL_BYTES,
  POLL_INTERVAL_MS,
  SERVER_LOG_BYTES_MAX,
} from './limits.ts';
import type { OperatingUser } from './operating_user.ts';
import { ENVIRONMENT, SETTINGS, SOCKET_PORT } from './settings.ts';

export interface SpawnedPostmaster {
  readonly child: ChildProcess;
  /** What PostgreSQL wrote to its log since this start. */
  output(): Promise<string>;
}

export interface PostmasterPlace {
  readonly paths: ClusterPaths;
  readonly binaries: Binaries;
  readonly socket: SocketPlace;
  readonly user: OperatingUser | undefined;
  readonly settings: Readonly<Record<string, string>>;
}

export async function spawnPostmaster(place: PostmasterPlace): Promise<SpawnedPostmaster> {
  const { paths, user } = place;
  const size = (await stat(paths.log).catch(() => undefined))?.size ?? 0;
  if (size > SERVER_LOG_BYTES_MAX) await truncate(paths.log);
  const offset = size > SERVER_LOG_BYTES_MAX ? 0 : size;
  const settings = { ...SETTINGS, unix_socket_directories: place.socket.bind, ...place.settings };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const log = await open(paths.log, 'a', 0o600);
  try {
    const child = spawn(
      place.binaries.postgres,
      ['-D', await reachOf(paths, user), '-p', String(SOCKET_PORT), ...options],
      // Detached: a Ctrl-C in the terminal must reach us alone, and we stop PostgreSQL when our work is done.
      { cwd: paths.cluster, env: ENVIRONMENT, stdio: ['ignore', log.fd, log.fd], detached: true, ...user },
    );
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    child.unref();
    return { child, output: () => tail(paths.log, offset) };
  } finally {
    await log.close();
  }
}

async function tail(path: string, offset: number): Promise<string> {
  const content = await readFile(path);
  return content.subarray(Math.max(offset, content.length - LOG_TAIL_BYTES)).toString('utf8');
}

/** The process id in postmaster.pid, or undefined when there is none. Synchronous because process exit needs it too. */
export function recordedPostmaster(cluster: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(join(cluster, 'postmaster.pid'), 'utf8'), 10);
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether `pid` is a PostgreSQL server that runs: not a zombie, and not a stranger that was given the same number. */
export function isPostmasterAlive(pid: number): boolean {
  if (process.platform !== 'linux') return processExists(pid);
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return /^\d+ \(postgres\) [^ZX]/.test(status);
  } catch {
    return false;
  }
}

/**
 * PostgreSQL believes postmaster.pid as long as any process of its user has that number, a zombie or a stranger after a
 * reboot included. It guards the cluster by its shared memory besides, so setting such a file aside is safe.
 */
export async function setAsideStalePidFile(cluster: string): Promise<void> {
  const path = join(cluster, 'postmaster.pid');
  const judged = recordedPostmaster(cluster);
  if (judged === undefined) return removeIfEmptyForLong(path);
  if (isPostmasterAlive(judged)) return;
  const aside = `${path}.stale-${process.pid}`;
  try {
    await rename(path, aside);
    const moved = Number.parseInt(await readFile(aside, 'utf8'), 10);
    // Somebody else's server started between the look and the rename: give it its file back.
    if (moved === judged) await rm(aside, { force: true });
    else await rename(aside, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

async function removeIfEmptyForLong(path: string): Promise<void> {
  const status = await stat(path).catch(() => undefined);
  if (status?.size === 0 && Date.now() - status.mtimeMs > EMPTY_PID_FILE_AGE_MS) await rm(path, { force: true });
}

/** Fast shutdown: open transactions are rolled back, committed ones are on disk. Bounded; harder means come after it. */
export async function stopPostmaster(pid: number, cluster: string): Promise<void> {
  const steps = [
    ['SIGINT', FAST_STOP_TIMEOUT_MS],
    ['SIGQUIT', IMMEDIATE_STOP_TIMEOUT_MS],
  ] as const;
  for (const [signal, timeout] of steps) {
    if (!signalPostmaster(pid, cluster, signal)) return;
    const deadline = performance.now() + timeout;
    while (performance.now() < deadline) {
      if (!isPostmasterAlive(pid)) return;
      await sleep(POLL_INTERVAL_MS);
    }
  }
  throw new EmbeddedPostgresError(
    'start_failed',
    `PostgreSQL (process ${pid}) did not stop. Stop it by hand: kill ${pid}`,
  );
}

/** False when the postmaster is gone, so that its number may already belong to another process. */
export function signalPostmaster(pid: number, cluster: string, signal: NodeJS.Signals): boolean {
  if (recordedPostmaster(cluster) !== pid || !isPostmasterAlive(pid)) return false;
  process.kill(pid, signal);
  return true;
}
