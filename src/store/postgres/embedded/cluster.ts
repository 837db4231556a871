import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { access, mkdir, open, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../../kernel/logger.ts';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError, explainFailure } from './failure.ts';
import { INITDB_TIMEOUT_MS, SOCKET_PATH_BYTES_MAX, UNFINISHED_CLUSTER_AGE_MS } from './limits.ts';
import { canReach, giveTo, isPrivateDirectory, type OperatingUser } from './operating_user.ts';
import { ENVIRONMENT, SOCKET_PORT } from './settings.ts';

export const ADMINISTRATOR = 'countersign_admin';

export interface ClusterPaths {
  readonly dataDirectory: string;
  /** Holds everything below; made whole by one rename, so it is never seen half made. */
  readonly home: string;
  readonly cluster: string;
  readonly password: string;
  readonly log: string;
}

export function clusterPaths(dataDirectory: string, home = join(dataDirectory, 'postgres')): ClusterPaths {
  return {
    dataDirectory,
    home,
    cluster: join(home, 'cluster'),
    password: join(home, 'password'),
    log: join(home, 'postgres.log'),
  };
}

/** Makes the cluster on the first start. Of two first starts at once, one cluster stays and the other is thrown away. */
export async function ensureCluster(
  paths: ClusterPaths,
  binaries: Binaries,
  user: OperatingUser | undefined,
  log: Logger,
): Promise<void> {
  if (await hasCluster(paths)) return;
  await removeUnfinished(paths.dataDirectory);
  const unfinished = clusterPaths(
    paths.dataDirectory,
    join(paths.dataDirectory, `postgres.new-${process.pid}-${randomBytes(4).toString('hex')}`),
  );
  const startedAt = performance.now();
  try {
    await mkdir(unfinished.home, { mode: 0o700 });
    await mkdir(unfinished.cluster, { mode: 0o700 });
    await mkdir(join(unfinished.home, 'socket'), { mode: 0o700 });
    await writeFile(unfinished.password, randomBytes(32).toString('base64url'), { mode: 0o600 });
    await giveTo(user, unfinished.home, unfinished.cluster, join(unfinished.home, 'socket'), unfinished.password);
    await initdb(unfinished, binaries, user);
    await putInPlace(unfinished, paths);
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw error;
    throw explainFailure(`The database in ${paths.dataDirectory} could not be created`, String(error), error);
  } finally {
    await rm(unfinished.home, { recursive: true, force: true });
  }
  log.info({ milliseconds: Math.round(performance.now() - startedAt) }, 'embedded PostgreSQL cluster created');
}

async function hasCluster(paths: ClusterPaths): Promise<boolean> {
  try {
    await access(join(paths.cluster, 'PG_VERSION'));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw explainFailure(`The database in ${paths.dataDirectory} cannot be read`, String(error), error);
    }
  }
  const exists = await stat(paths.home).then(
    () => true,
    () => false,
  );
  if (!exists) return false;
  throw new EmbeddedPostgresError(
    'directory_unusable',
    `${paths.home} exists, but holds no PostgreSQL cluster. If nothing in it is needed, remove it; otherwise restore ` +
      'it from your backup or choose another data directory.',
  );
}

async function initdb(paths: ClusterPaths, binaries: Binaries, user: OperatingUser | undefined): Promise<void> {
  const reach = await reachOf(paths, user);
  // C.UTF-8 of the builtin provider sorts the same on every system, so an index never breaks with a libc update.
  const options = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const security = ['--auth=scram-sha-256', `--username=${ADMINISTRATOR}`, '--pwfile=../password', '--data-checksums'];
  const child = spawn(binaries.initdb, ['-D', reach, ...options, ...security, '--no-instructions'], {
    cwd: paths.cluster,
    env: ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: INITDB_TIMEOUT_MS,
    ...user,
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const status = await new Promise<number | string | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  if (status === 0) return;
  throw explainFailure(`The database in ${paths.dataDirectory} could not be created (initdb: ${status})`, output);
}

async function putInPlace(unfinished: ClusterPaths, paths: ClusterPaths): Promise<void> {
  try {
    await rename(unfinished.home, paths.home);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return;
    throw error;
  }
  const directory = await open(paths.dataDirectory);
  await directory.sync().finally(() => directory.close());
}

async function removeUnfinished(dataDirectory: string): Promise<void> {
  for (const name of await readdir(dataDirectory)) {
    const pid = Number(/^postgres\.new-(\d+)-[0-9a-f]+$/.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(pid)) continue;
    const path = join(dataDirectory, name);
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (age > UNFINISHED_CLUSTER_AGE_MS || !processExists(pid)) await rm(path, { recursive: true, force: true });
  }
}

export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * How PostgreSQL is told where the cluster is. When it runs as a user that may not enter the directories above (root's
 * home), it inherits the cluster as working directory, entered by root before the user changes, and names it so.
 */
export async function reachOf(paths: ClusterPaths, user: OperatingUser | undefined): Promise<string> {
  if (user === undefined || (await canReach(user, paths.cluster))) return paths.cluster;
  if (process.platform === 'linux') return '/proc/self/cwd';
  throw new EmbeddedPostgresError(
    'directory_unusable',
    `PostgreSQL does not run as root, and the user it runs as instead (uid ${user.uid}) cannot enter ` +
      `${paths.dataDirectory}. Run Countersign as an ordinary user, or open the directories above it: chmod a+x`,
  );
}

export interface SocketPlace {
  /** As PostgreSQL is told: relative to the cluster where possible, so that its own path length does not matter. */
  readonly bind: string;
  /** As clients open it. */
  readonly directory: string;
}

/** The directory of the Unix socket, 0700: beside the cluster, or in the temporary directory when that path is too long. */
export async function prepareSocket(paths: ClusterPaths, user: OperatingUser | undefined): Promise<SocketPlace> {
  const beside = join(paths.home, 'socket');
  if (Buffer.byteLength(join(beside, `.s.PGSQL.${SOCKET_PORT}`)) <= SOCKET_PATH_BYTES_MAX) {
    return { bind: '../socket', directory: beside };
  }
  const name = createHash('sha256')
    .update(await realpath(paths.dataDirectory))
    .digest('hex')
    .slice(0, 16);
  const directory = join(tmpdir(), `countersign-${name}`);
  try {
    await mkdir(directory, { mode: 0o700 });
    await giveTo(user, directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (await isPrivateDirectory(directory, user)) return { bind: directory, directory };
  throw new EmbeddedPostgresError(
    'directory_unusable',
    `The path of ${paths.dataDirectory} is too long for a Unix socket, and ${directory}, used instead, belongs to ` +
      'somebody else or is open to others. Remove it, or choose a shorter data directory.',
  );
}
