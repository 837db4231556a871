import { mkdir, readFile, realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../../kernel/logger.ts';
import { findBinaries } from './embedded/binaries.ts';
import { ADMINISTRATOR, type ClusterPaths, clusterPaths, ensureCluster, prepareSocket } from './embedded/cluster.ts';
import { EmbeddedPostgresError, explainFailure } from './embedded/failure.ts';
import { CONNECT_TIMEOUT_MS, POLL_INTERVAL_MS, START_TIMEOUT_MS } from './embedded/limits.ts';
import { lockApplicationName, takeServerLock } from './embedded/lock.ts';
import { chooseOperatingUser } from './embedded/operating_user.ts';
import {
  isPostmasterAlive,
  type PostmasterPlace,
  recordedPostmaster,
  type SpawnedPostmaster,
  setAsideStalePidFile,
  signalPostmaster,
  spawnPostmaster,
  stopPostmaster,
} from './embedded/postmaster.ts';
import { SOCKET_PORT } from './embedded/settings.ts';
import type { SocketConnection } from './open.ts';

const DATABASE = 'countersign';
const APPLICATION_ROLE = 'countersign';

export interface EmbeddedPostgresOptions {
  readonly dataDirectory: string;
  readonly log: Logger;
  /** Called once when PostgreSQL died or closed our lock, unless `stop()` was called. The server must then end. */
  readonly onLost?: (error: Error) => void;
  /** Server settings that replace ours. Tests only: ours are chosen so that nothing acknowledged is lost. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  /** The role of the application: owns its database, is not a superuser. */
  readonly connection: SocketConnection;
  /** The superuser, for backups and for tests that create databases. */
  readonly administration: SocketConnection;
  readonly postmasterPid: number;
  /** True when PostgreSQL was left running by a server that was killed. */
  readonly wasAdopted: boolean;
  stop(): Promise<void>;
}

/**
 * Starts the PostgreSQL of `dataDirectory`, creating it first if needed, and holds its lock: one server per data
 * directory. Throws `EmbeddedPostgresError`, with what to do, when it cannot.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const paths = clusterPaths(await makeDirectory(options.dataDirectory));
  const user = await chooseOperatingUser(paths.cluster);
  const binaries = await findBinaries(user);
  await ensureCluster(paths, binaries, user, options.log);
  const socket = await prepareSocket(paths, user);
  const password = await readPassword(paths);
  const common = { socketDirectory: socket.directory, port: SOCKET_PORT, password };
  const administration = { ...common, user: ADMINISTRATOR, database: 'postgres' };

  const place = { paths, binaries, socket, user, settings: options.settings ?? {} };
  const { client, spawned } = await connectOrSpawn(place, administration);
  const watch = watchConnection(client, options);
  try {
    await takeServerLock(client, paths.dataDirectory);
    await prepareDatabase(client, password);
  } catch (error) {
    watch.isStopping = true;
    await client.end().catch(() => {});
    throw error;
  }
  const postmasterPid = recordedPostmaster(paths.cluster);
  if (postmasterPid === undefined)
    throw new Error(`${paths.cluster} has no postmaster.pid although PostgreSQL answers`);
  const wasAdopted = spawned?.child.pid !== postmasterPid;
  if (wasAdopted) options.log.warn({ postmasterPid }, 'PostgreSQL was left running by a killed server; taking it over');

  const stopOnExit = () => signalPostmaster(postmasterPid, paths.cluster, 'SIGINT');
  process.once('exit', stopOnExit);
  return {
    connection: { ...common, user: APPLICATION_ROLE, database: DATABASE },
    administration,
    postmasterPid,
    wasAdopted,
    // The lock is held until PostgreSQL is down: released earlier, another server could take over what we stop.
    stop: async () => {
      watch.isStopping = true;
      await stopPostmaster(postmasterPid, paths.cluster);
      process.removeListener('exit', stopOnExit);
      await client.end().catch(() => {});
    },
  };
}

async function makeDirectory(dataDirectory: string): Promise<string> {
  try {
    await mkdir(resolve(dataDirectory), { recursive: true, mode: 0o700 });
    return await realpath(resolve(dataDirectory));
  } catch (error) {
    throw explainFailure(`The data directory ${dataDirectory} cannot be used`, String(error), error);
  }
}

async function readPassword(paths: ClusterPaths): Promise<string> {
  try {
    return (await readFile(paths.password, 'utf8')).trim();
  } catch (error) {
    throw explainFailure(`The database password in ${paths.password} cannot be read`, String(error), error);
  }
}

/** Connects to the PostgreSQL that runs on this cluster, starting one as long as none does. */
async function connectOrSpawn(
  place: PostmasterPlace,
  administration: SocketConnection,
): Promise<{ client: pg.Client; spawned: SpawnedPostmaster | undefined }> {
  const { cluster, dataDirectory } = place.paths;
  const deadline = performance.now() + START_TIMEOUT_MS;
  let spawned: SpawnedPostmaster | undefined;
  while (performance.now() < deadline) {
    const client = await tryConnect(administration, dataDirectory);
    if (client !== undefined) return { client, spawned };
    const running = recordedPostmaster(cluster);
    const someoneRuns = running !== undefined && isPostmasterAlive(running);
    const ourRuns = spawned !== undefined && spawned.child.exitCode === null && spawned.child.signalCode === null;
    if (!someoneRuns && !ourRuns) {
      if (spawned !== undefined) await throwUnlessRetriable(spawned, dataDirectory);
      if (spawned !== undefined) await setAsideStalePidFile(cluster);
      spawned = await spawnPostmaster(place).catch((error: unknown) => {
        throw explainFailure(`The database in ${dataDirectory} could not be started`, String(error), error);
      });
    }
    await sleep(POLL_INTERVAL_MS);
  }
  if (spawned?.child.pid !== undefined) signalPostmaster(spawned.child.pid, cluster, 'SIGINT');
  throw new EmbeddedPostgresError(
    'start_failed',
    `PostgreSQL in ${dataDirectory} did not answer within ${START_TIMEOUT_MS / 1000} s. Its log is ${place.paths.log}.`,
  );
}

/** A lost race for the cluster, or the last processes of a killed server, end by themselves; everything else does not. */
async function throwUnlessRetriable(spawned: SpawnedPostmaster, dataDirectory: string): Promise<void> {
  const output = await spawned.output();
  if (/lock file .* already exists|pre-existing shared memory block|is empty/.test(output)) return;
  throw explainFailure(`The database in ${dataDirectory} could not be started`, output);
}

async function tryConnect(administration: SocketConnection, dataDirectory: string): Promise<pg.Client | undefined> {
  const { socketDirectory, ...rest } = administration;
  const client = new pg.Client({
    ...rest,
    host: socketDirectory,
    application_name: lockApplicationName(),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    if ((error as { code?: string }).code !== '28P01') return undefined;
    throw new EmbeddedPostgresError(
      'directory_unusable',
      `PostgreSQL in ${dataDirectory} does not accept the password stored beside it. Restore the data directory whole.`,
      { cause: error },
    );
  }
}

function watchConnection(client: pg.Client, options: EmbeddedPostgresOptions): { isStopping: boolean } {
  const state = { isStopping: false };
  client.once('end', () => {
    if (state.isStopping) return;
    state.isStopping = true;
    const error = new Error(`The connection that owns ${options.dataDirectory} ended: PostgreSQL stopped or crashed`);
    options.log.error({ dataDirectory: options.dataDirectory }, error.message);
    options.onLost?.(error);
  });
  return state;
}

/** Ends what a killed server left connected, and makes the role and database that the application uses. */
async function prepareDatabase(client: pg.Client, password: string): Promise<void> {
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where backend_type = 'client backend' and usename = $1`,
    [APPLICATION_ROLE],
  );
  const role = await client.query('select from pg_roles where rolname = $1', [APPLICATION_ROLE]);
  if (role.rowCount === 0) {
    await client.query(`create role ${APPLICATION_ROLE} login password ${client.escapeLiteral(password)}`);
  }
  const database = await client.query('select from pg_database where datname = $1', [DATABASE]);
  if (database.rowCount === 0) await client.query(`create database ${DATABASE} owner ${APPLICATION_ROLE}`);
}
