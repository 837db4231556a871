import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestRedis } from '../support/redis.ts';
import { until } from './installation.ts';
import { SharedServers, singleRedis } from './shared_servers.ts';

// F3: Redis dies under calls. They go on by PostgreSQL: what was approved runs once, what was not does not run.

const PARALLEL = 8;
let redis: TestRedis;
let place: SharedServers;

beforeAll(async () => {
  redis = await TestRedis.open();
  place = await SharedServers.open('redis-down', [singleRedis(redis.port)]);
}, 120_000);
afterAll(async () => {
  await place?.close();
  await redis?.kill();
});

/** One call from its step-up to its run, half of it at each server. */
async function throughBoth(line: string, kill?: () => Promise<void>): Promise<void> {
  await place.at(0);
  const waiting = await place.pending(line);
  await kill?.();
  await place.at(1);
  await place.decide(waiting, 'approve');
  const answer = await place.call(line);
  expect(answer, line).toMatchObject({ verdict: null, isError: false });
  expect(place.runs(line), line).toBe(1);
}

test('F3: calls go on while Redis dies, after that, and when it is back', async () => {
  await place.untilAt('redis');
  await throughBoth('before');
  // The very next requests of both servers find it dead.
  await throughBoth('while it dies', () => redis.kill());
  await throughBoth('without it');
  expect(await place.place()).toBe('postgres');
}, 60_000);

test('F3: without Redis a grant is redeemed once, and nothing runs that nobody approved', async () => {
  const waiting = await place.pending('once');
  expect((await place.call('never approved')).verdict).toMatchObject({ kind: 'waiting' });
  const denied = await place.pending('denied');
  await place.decide(denied, 'deny');
  await place.decide(waiting, 'approve');
  const answers = await Promise.all(Array.from({ length: PARALLEL }, () => place.call('once')));
  expect(answers.filter(({ verdict, isError }) => verdict === null && !isError)).toHaveLength(1);
  expect((await place.call('denied')).verdict).toMatchObject({ kind: 'refused', code: 'step_up_denied' });
  expect(['once', 'never approved', 'denied'].map((line) => place.runs(line))).toEqual([1, 0, 0]);
}, 60_000);

test('F3: Redis is used again once it has answered for a while, and no call notices', async () => {
  await redis.start();
  let calls = 0;
  await until(
    'the memory is in Redis',
    async () => {
      calls += 1;
      await throughBoth(`on the way back ${calls}`);
      return (await place.place()) === 'redis' ? true : undefined;
    },
    40_000,
  );
  await throughBoth('back');
}, 90_000);
