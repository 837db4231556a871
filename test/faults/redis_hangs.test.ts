import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestRedis } from '../support/redis.ts';
import { OAuthTrips } from './oauth_trips.ts';
import { SharedServers, singleRedis } from './shared_servers.ts';

// F7: Redis stands still. Every answer comes in bounded time, PostgreSQL's pool has room, and all is well after SIGCONT.

const PARALLEL = 40;
/** A command of Redis has 0.5 s, and is asked once more; a new memory begins within 1.5 s. The rest is a loaded machine. */
const ANSWER_MS_MAX = 12_000;
let redis: TestRedis;
let place: SharedServers;
let trips: OAuthTrips;

beforeAll(async () => {
  redis = await TestRedis.open();
  place = await SharedServers.open('redis-hangs', [singleRedis(redis.port)]);
  trips = await OAuthTrips.open(place);
}, 120_000);
afterAll(async () => {
  redis?.resume();
  await place?.close();
  await redis?.kill();
});

test('F7: while Redis hangs, every answer is bounded and good, and the pool has room; then it recovers', async () => {
  const waiting = await place.pending('hang');
  redis.freeze();
  const startedAt = performance.now();
  const took: number[] = [];
  const timed = async <Value>(work: Promise<Value>): Promise<Value> => {
    const value = await work;
    took.push(performance.now() - startedAt);
    return value;
  };
  const ready = Array.from({ length: 10 }, () => timed(fetch(`${place.issuer}/readyz`)));
  const tokens = Array.from({ length: PARALLEL }, async () => timed(trips.freshToken()));
  expect((await Promise.all(ready)).map(({ status }) => status)).toEqual(ready.map(() => 200));
  // Those under way are refused once, because the memory of used proofs began anew; nothing fails.
  const statuses = (await Promise.all(tokens)).map(({ status, error }) => (status === 200 ? 'token' : error));
  expect(statuses.filter((one) => !['token', 'invalid_dpop_proof', 'invalid_client'].includes(`${one}`))).toEqual([]);
  expect(Math.max(...took)).toBeLessThan(ANSWER_MS_MAX);
  expect(await place.place()).toBe('postgres');
  expect(await trips.freshToken()).toMatchObject({ status: 200 });
  await place.at(1);
  await place.decide(waiting, 'approve');
  expect(await place.call('hang')).toMatchObject({ verdict: null, isError: false });
  expect(place.runs('hang')).toBe(1);

  redis.resume();
  await place.untilAt('redis');
  const after = await place.pending('after');
  await place.decide(after, 'approve');
  expect(await place.call('after')).toMatchObject({ verdict: null, isError: false });
}, 90_000);

test('F7: what Redis did not do in time is not done later, when it goes on', async () => {
  const used = await trips.proof();
  redis.freeze();
  // Its mark is under way to Redis when the servers give it up.
  const answers = await Promise.all(
    [0, 1, 2, 3].map(async () => trips.post('/token', await trips.assertion(), { dpop: used })),
  );
  expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
  redis.resume();
  const accepted = answers.filter(({ status }) => status === 200).length;
  await place.untilAt('redis');
  const late = await trips.post('/token', await trips.assertion(), { dpop: used });
  expect(accepted + (late.status === 200 ? 1 : 0)).toBeLessThanOrEqual(1);
  expect(late.status).toBe(400);
}, 90_000);
