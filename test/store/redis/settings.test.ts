import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { configSchema } from '../../../src/config.ts';
import { loadRedisSettings, RedisSettingsError } from '../../../src/store/redis/settings.ts';
import { makeScratchDirectory } from '../../support/scratch.ts';

let directory: string;
beforeAll(async () => {
  directory = await makeScratchDirectory('redis-settings');
});

const load = (redis: Record<string, unknown>) =>
  loadRedisSettings(configSchema.parse({ issuer: 'https://countersign.example', redis }).redis);

async function passwordFile(name: string, text: string, mode = 0o600): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

describe('the settings of Redis', () => {
  it('are none by default', async () => {
    expect(await load({})).toBeNull();
  });

  it('name nodes, also by IPv6, and hold the passwords of the files', async () => {
    const settings = await load({
      topology: 'sentinel',
      nodes: ['sentinel-1:26379', '[::1]:26380'],
      sentinel_name: 'countersign',
      username: 'countersign',
      password_file: await passwordFile('password', 'p4ss word\n'),
      sentinel_password_file: await passwordFile('sentinel', 's3ntinel'),
    });
    expect(settings).toMatchObject({
      nodes: [
        { host: 'sentinel-1', port: 26_379 },
        { host: '::1', port: 26_380 },
      ],
      password: 'p4ss word',
      sentinelPassword: 's3ntinel',
    });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no node', { topology: 'single' }, 'redis.nodes is empty'],
    ['two nodes that do not belong together', { topology: 'single', nodes: ['a:1', 'b:1'] }, 'names 2 servers'],
    ['a port that is none', { topology: 'single', nodes: ['a:70000'] }, 'Write host:port'],
    ['Sentinels without a name', { topology: 'sentinel', nodes: ['a:1'] }, 'redis.sentinel_name is missing'],
    [
      'a name without Sentinels',
      { topology: 'single', nodes: ['a:1'], sentinel_name: 'x' },
      'for redis.topology "sentinel" only',
    ],
    ['a database of a Cluster', { topology: 'cluster', nodes: ['a:1'], database: 2 }, 'database 0 only'],
    ['a user without a password', { topology: 'single', nodes: ['a:1'], username: 'u' }, 'without redis.password_file'],
    [
      'a missing file',
      { topology: 'single', nodes: ['a:1'], password_file: '/nowhere/at/all' },
      'cannot be read (ENOENT)',
    ],
  ])('are refused with %s', async (_what, redis, message) => {
    await expect(load(redis)).rejects.toThrow(RedisSettingsError);
    await expect(load(redis)).rejects.toThrow(message);
  });

  it('are refused with a password others can read, or a file that holds none', async () => {
    const open = await passwordFile('open', 'secret', 0o644);
    const empty = await passwordFile('empty', '\n');
    const lines = await passwordFile('lines', 'one\ntwo\n');
    const at = (path: string) => load({ topology: 'single', nodes: ['a:1'], password_file: path });
    await expect(at(open)).rejects.toThrow(`chmod 600 ${open}`);
    await expect(at(empty)).rejects.toThrow('must hold one line');
    await expect(at(lines)).rejects.toThrow('must hold one line');
  });
});
