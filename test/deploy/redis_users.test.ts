import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../src/cli/free_port.ts';
import { parseConfig } from '../../src/config.ts';
import { loadRedisSettings, type RedisSettings } from '../../src/store/redis/settings.ts';
import { loadRootKey } from '../../src/store/root_key.ts';
import { redisContract } from '../store/redis/redis_contract.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { readCompose, readDeployed } from './deploy_files.ts';

// Compose gives each service its secrets as files that belong to its user, so only root can make them.
const isRoot = process.getuid?.() === 0;
const CONNECT_ATTEMPTS = 200;
const MAKE_SECRETS = join(import.meta.dirname, '..', '..', 'deploy', 'compose', 'make_secrets.sh');

let secrets: string;
beforeAll(async () => {
  if (isRoot) secrets = await makeSecrets();
});

async function makeSecrets(): Promise<string> {
  const folder = join(await makeScratchDirectory('compose'), 'secrets');
  const made = spawnSync(MAKE_SECRETS, ['approve.example.com', folder], { encoding: 'utf8' });
  expect(made.stderr).toBe('');
  expect(made.status).toBe(0);
  return folder;
}

describe.runIf(isRoot)('the secrets of Compose', () => {
  test('are readable by one user each, and kept when they are asked for again', async () => {
    const read = () =>
      Object.values(readCompose().secrets).map(({ file }) => {
        const path = join(secrets, file.replace('./secrets/', ''));
        const { mode, uid, gid } = statSync(path);
        expect([mode & 0o777, uid > 0, gid > 0], path).toEqual([0o400, true, true]);
        return readFileSync(path, 'utf8');
      });
    const before = read();
    spawnSync(MAKE_SECRETS, ['approve.example.com', secrets]);
    expect(read()).toEqual(before);
    expect(await loadRootKey({ path: join(secrets, 'root.key'), mayCreate: false })).toHaveLength(32);
    const password = readFileSync(join(secrets, 'postgres.password'), 'utf8');
    expect(readFileSync(join(secrets, 'pgpass'), 'utf8')).toBe(`postgres:5432:countersign:countersign:${password}`);
  });
});

/** The Redis of Compose as it is started there, but for the port and the paths. */
async function startRedis(): Promise<{ port: number; stop(): Promise<void> }> {
  const port = await freePort();
  const [program, ...rest] = readCompose().services.redis!.command!;
  const options = rest.map((word) => word.replace('/run/secrets/redis_users', join(secrets, 'redis.users')));
  const child = spawn(program!, [...options, '--port', `${port}`, '--bind', '127.0.0.1'], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  process.once('exit', () => child.kill('SIGKILL'));
  const client = new Redis({ port, protocol: 2, retryStrategy: (tries) => (tries < CONNECT_ATTEMPTS ? 50 : null) });
  client.on('error', () => {});
  await new Promise<void>((resolve) => client.on('connect', resolve));
  client.disconnect();
  return { port, stop };
}

async function settingsFor(port: number): Promise<RedisSettings> {
  const parsed = parseConfig({ text: readDeployed('deploy/compose/countersign.yaml') });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refusal));
  const password_file = join(secrets, 'redis.password');
  const settings = await loadRedisSettings({ ...parsed.value.redis, nodes: [`127.0.0.1:${port}`], password_file });
  return settings!;
}

if (isRoot) {
  redisContract('the Redis of Compose, as the user that make_secrets.sh makes', async () => {
    const { port, stop } = await startRedis();
    return { settings: await settingsFor(port), stop };
  });
}

describe.runIf(isRoot)('that user', () => {
  let port: number;
  let stop: () => Promise<void>;
  beforeAll(async () => {
    ({ port, stop } = await startRedis());
  });
  afterAll(() => stop?.());

  test.each([
    ['changes no setting', ['config', 'set', 'maxmemory-policy', 'allkeys-lru']],
    ['empties nothing', ['flushall']],
    ['lists no keys', ['keys', '*']],
    ['makes no users', ['acl', 'setuser', 'x', 'on']],
    ['stops nothing', ['shutdown', 'nosave']],
    ['saves nothing', ['save']],
    ['replicates nothing', ['replicaof', '127.0.0.1', '1']],
    ['reads no foreign key', ['get', 'other:key']],
    ['publishes on no foreign channel', ['publish', 'other:wake', 'x']],
  ])('%s', async (_, [command = '', ...words]) => {
    const { username, password } = await settingsFor(port);
    const client = new Redis({
      port,
      username: username!,
      password: password!,
      protocol: 2,
      retryStrategy: () => null,
    });
    client.on('error', () => {});
    await expect(client.call(command, ...words)).rejects.toThrow(/NOPERM/);
    client.disconnect();
  });

  test('is the only one: without a password nothing is answered', async () => {
    const client = new Redis({ port, protocol: 2, retryStrategy: () => null });
    client.on('error', () => {});
    await expect(client.call('get', 'countersign:x')).rejects.toThrow(/NOAUTH/);
    client.disconnect();
  });
});
