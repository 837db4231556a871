import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { isPostmasterAlive } from '../../../src/store/postgres/embedded/postmaster.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/store/postgres/embedded.ts';
import { openDatabase, type SocketConnection } from '../../../src/store/postgres/open.ts';
import { makeScratchDirectory, removeScratchDirectory } from '../../support/scratch.ts';

interface Line {
  readonly ready?: boolean;
  readonly wasAdopted?: boolean;
  readonly postmasterPid: number;
  readonly refused?: string;
  readonly message: string;
  readonly acknowledged?: number;
}

interface Child {
  readonly process: ChildProcess;
  readonly lines: readonly Line[];
  first(): Promise<Line>;
  exited(): Promise<number | null>;
}

let base: string;
let dataDirectory: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  base = await makeScratchDirectory('embedded');
  dataDirectory = join(base, 'data');
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await removeScratchDirectory(base);
});

function startHere(onLost?: (error: Error) => void): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDirectory, log: silentLogger, ...(onLost === undefined ? {} : { onLost }) });
}

function startChild(...more: string[]): Child {
  const program = join(import.meta.dirname, '..', '..', 'support', 'embedded_child.ts');
  const child = spawn(process.execPath, [program, dataDirectory, ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const lines: Line[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => lines.push(JSON.parse(line) as Line));
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
  return {
    process: child,
    lines,
    first: () => vi.waitUntil(() => lines[0], { timeout: 30_000, interval: 10 }),
    exited: () => exit,
  };
}

async function ask(connection: SocketConnection, query: string): Promise<unknown> {
  const database = openDatabase({ connection, poolMax: 1, log: silentLogger });
  const result = await sql.raw<{ value: unknown }>(query).execute(database.db).finally(database.close);
  return result.rows[0]?.value;
}

test('it starts, is durable and private, and leaves nothing running after stop', async () => {
  const server = await startHere();
  const { connection } = server;
  expect(server.wasAdopted).toBe(false);
  expect(await ask(connection, "select current_setting('fsync') as value")).toBe('on');
  expect(await ask(connection, "select current_setting('data_checksums') as value")).toBe('on');
  expect(await ask(connection, "select current_setting('listen_addresses') as value")).toBe('');
  expect(await ask(connection, "select current_setting('server_encoding') as value")).toBe('UTF8');
  expect(await ask(connection, 'select rolsuper as value from pg_roles where rolname = current_user')).toBe(false);
  expect((await stat(connection.socketDirectory)).mode & 0o777).toBe(0o700);
  for (const user of [connection.user, server.administration.user]) {
    await expect(ask({ ...connection, user, password: 'password' }, 'select 1')).rejects.toThrow(/password/);
  }
  await server.stop();
  expect(isPostmasterAlive(server.postmasterPid)).toBe(false);
});

test('a second start finds the data of the first', async () => {
  const first = await startHere();
  await ask(first.connection, 'create table kept (value int)');
  await ask(first.connection, 'insert into kept values (42)');
  await first.stop();
  const second = await startHere();
  expect(await ask(second.connection, 'select value from kept')).toBe(42);
  expect(second.wasAdopted).toBe(false);
  await second.stop();
});

test('of two first starts at once exactly one wins, and the other names the directory and the winner', async () => {
  const both = [startChild(), startChild()];
  const lines = await Promise.all(both.map((child) => child.first()));
  const winner = lines.findIndex((line) => line.ready === true);
  const loser = 1 - winner;
  expect(lines[winner]).toMatchObject({ ready: true });
  expect(lines[loser]).toMatchObject({ refused: 'directory_in_use' });
  expect(lines[loser]?.message).toContain(dataDirectory);
  expect(lines[loser]?.message).toContain(`process id ${both[winner]?.process.pid}`);
  expect(await both[loser]?.exited()).toBe(1);
  expect(isPostmasterAlive(lines[winner]!.postmasterPid)).toBe(true);
  expect((await readdir(dataDirectory)).filter((name) => name.startsWith('postgres.new'))).toEqual([]);
  both[winner]?.process.kill('SIGTERM');
  expect(await both[winner]?.exited()).toBe(0);
  expect(isPostmasterAlive(lines[winner]!.postmasterPid)).toBe(false);
});

test('PostgreSQL left by a killed server is taken over, with everything it acknowledged, and stopped by us', async () => {
  const child = startChild('insert');
  const { postmasterPid } = await child.first();
  await vi.waitUntil(() => child.lines.length > 50, { timeout: 20_000 });
  child.process.kill('SIGKILL');
  await child.exited();
  const server = await startHere();
  expect(server).toMatchObject({ wasAdopted: true, postmasterPid });
  const acknowledged = child.lines.at(-1)?.acknowledged as number;
  expect(await ask(server.connection, `select count(*) as value from numbers where number <= ${acknowledged}`)).toBe(
    acknowledged,
  );
  await server.stop();
  expect(isPostmasterAlive(postmasterPid)).toBe(false);
});

test('killed together with PostgreSQL, the next start recovers every acknowledged row', async () => {
  const child = startChild('insert');
  const { postmasterPid } = await child.first();
  await vi.waitUntil(() => child.lines.length > 50, { timeout: 20_000 });
  child.process.kill('SIGKILL');
  process.kill(postmasterPid, 'SIGKILL');
  await child.exited();
  const server = await startHere();
  expect(server.wasAdopted).toBe(false);
  const acknowledged = child.lines.at(-1)?.acknowledged as number;
  expect(await ask(server.connection, `select count(*) as value from numbers where number <= ${acknowledged}`)).toBe(
    acknowledged,
  );
  await server.stop();
});

test('a postmaster.pid that names a stranger does not keep the server from starting', async () => {
  await (await startHere()).stop();
  const owner = await stat(join(dataDirectory, 'postgres', 'cluster'));
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore', uid: owner.uid, gid: owner.gid });
  children.push(stranger);
  const pidFile = join(dataDirectory, 'postgres', 'cluster', 'postmaster.pid');
  await writeFile(pidFile, `${stranger.pid}\n${dataDirectory}\n0\n5432\n\n\n\n`);
  const server = await startHere();
  expect(server.wasAdopted).toBe(false);
  await server.stop();
});

test('an empty postmaster.pid, left by a full disk, does not keep the server from starting', async () => {
  await (await startHere()).stop();
  const pidFile = join(dataDirectory, 'postgres', 'cluster', 'postmaster.pid');
  await writeFile(pidFile, '');
  await utimes(pidFile, 0, 0);
  await (await startHere()).stop();
});

test('the death of PostgreSQL is reported once; a normal stop is not', async () => {
  const onLost = vi.fn();
  const first = await startHere(onLost);
  await first.stop();
  expect(onLost).not.toHaveBeenCalled();
  const second = await startHere(onLost);
  process.kill(second.postmasterPid, 'SIGKILL');
  await vi.waitFor(() => expect(onLost).toHaveBeenCalledOnce(), { timeout: 5_000 });
  expect(onLost.mock.calls[0]?.[0]).toBeInstanceOf(Error);
  await second.stop();
});

test('a data directory with a path too long for a socket, closed to others, works all the same', async () => {
  const outer = dataDirectory;
  dataDirectory = join(outer, 'a'.repeat(120));
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  await chmod(outer, 0o700);
  const server = await startHere();
  expect(server.connection.socketDirectory.length).toBeLessThan(100);
  expect((await stat(server.connection.socketDirectory)).mode & 0o777).toBe(0o700);
  expect(await ask(server.connection, 'select 1 as value')).toBe(1);
  await server.stop();
  await rm(server.connection.socketDirectory, { recursive: true });
});

test('a socket directory that somebody else prepared is refused', async () => {
  dataDirectory = join(dataDirectory, 'a'.repeat(120));
  const server = await startHere();
  await server.stop();
  await chmod(server.connection.socketDirectory, 0o777);
  await expect(startHere()).rejects.toMatchObject({ code: 'directory_unusable' });
  await rm(server.connection.socketDirectory, { recursive: true });
});

test('a directory that holds something else is refused and left alone', async () => {
  const strange = join(dataDirectory, 'postgres');
  await mkdir(strange, { recursive: true });
  await writeFile(join(strange, 'letters.txt'), 'mine');
  await expect(startHere()).rejects.toMatchObject({ code: 'directory_unusable' });
  expect(await readdir(strange)).toEqual(['letters.txt']);
});

test('a data directory that is a file is refused with a sentence', async () => {
  await writeFile(dataDirectory, '');
  await expect(startHere()).rejects.toThrow(/The data directory .* cannot be used/);
});
