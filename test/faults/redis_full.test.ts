import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestRedis } from '../support/redis.ts';
import { OAuthTrips } from './oauth_trips.ts';
import { SharedServers, singleRedis } from './shared_servers.ts';

// F6: a full Redis keeps nothing new, and an evicting one forgets what forbids a replay. Revoking, ending and denying do
// not need either; with the second nothing starts.

const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const EXIT_MS_MAX = 45_000;
const run = promisify(execFile);
let redis: TestRedis;
let place: SharedServers;
let trips: OAuthTrips;

beforeAll(async () => {
  redis = await TestRedis.open();
  place = await SharedServers.open('redis-full', [singleRedis(redis.port)]);
  trips = await OAuthTrips.open(place);
}, 120_000);
afterAll(async () => {
  await place?.close();
  await redis?.kill();
});

test('F6: while Redis is full, denials, revocations and the end of a task are kept, and calls go on', async () => {
  const denied = await place.pending('denied');
  const approved = await place.pending('approved');
  const family = await trips.redeem(await trips.obtainCode());
  const { taskId } = await place.agent.startTask({ resource: place.resource, tools: ['append'], purpose: 'It ends' });
  await redis.ask('config', 'set', 'maxmemory', '1');
  await expect(redis.ask('set', 'k', 'v')).rejects.toThrow('OOM');

  await place.decide(denied, 'deny');
  await place.decide(approved, 'approve');
  await place.agent.endTask(taskId);
  expect(await trips.post('/revoke', { client_id: 'editor', token: family.refresh_token! })).toMatchObject({
    status: 200,
  });
  await place.at(1);
  expect((await place.call('denied')).verdict).toMatchObject({ kind: 'refused', code: 'step_up_denied' });
  expect(await place.call('approved')).toMatchObject({ verdict: null, isError: false });
  expect(await trips.refresh(family.refresh_token)).toMatchObject({ status: 400, error: 'invalid_grant' });
  const ended = await place.database.db.selectFrom('tasks').select('state').where('id', '=', taskId).executeTakeFirst();
  expect(ended?.state).toBe('completed');
  expect([place.runs('denied'), place.runs('approved')]).toEqual([0, 1]);
  expect(await place.place()).toBe('postgres');
  await redis.ask('config', 'set', 'maxmemory', '0');
}, 60_000);

test('F6: a server does not start on a Redis that may evict, and names the setting to change', async () => {
  const evicting = await TestRedis.open(() => ['--maxmemory-policy', 'allkeys-lru']);
  try {
    const file = join(place.root, 'evicting.yaml');
    const text = await readFile(place.config, 'utf8');
    await writeFile(file, text.replace(singleRedis(redis.port), singleRedis(evicting.port)));
    const started = run(process.execPath, [COMMAND, 'serve', '--config', file, '--port', '0'], {
      timeout: EXIT_MS_MAX,
    });
    await expect(started).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/maxmemory-policy "allkeys-lru".*CONFIG SET maxmemory-policy noeviction/s),
    });
  } finally {
    await evicting.kill();
  }
}, 60_000);
