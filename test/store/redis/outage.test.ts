import { afterEach, expect, it } from 'vitest';
import { MemoryLost, RedisOutage, type RedisOutageReason } from '../../../src/store/redis/errors.ts';
import { OPERATION_MS_MAX, OPERATIONS_IN_FLIGHT_MAX } from '../../../src/store/redis/limits.ts';
import { openRedisCluster, redisSettings, TestRedis } from '../../support/redis.ts';
import { newEpoch, openStores, storesOver } from './open_stores.ts';

/** Timers run late on a machine with other work. */
const BOUND_MS = OPERATION_MS_MAX + 5_000;
const CLEAN_UP: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const undo of CLEAN_UP.splice(0).toReversed()) await undo();
});

async function open() {
  const redis = await TestRedis.open();
  CLEAN_UP.push(() => redis.kill());
  const stores = await openStores(redisSettings([redis.port]));
  CLEAN_UP.push(() => stores.connection.close());
  return { redis, ...stores };
}

async function reasonOf(operation: Promise<unknown>): Promise<RedisOutageReason> {
  const error = await operation.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RedisOutage);
  return (error as RedisOutage).reason;
}

it('says so when Redis is full, changes nothing, and goes on when there is room', async () => {
  const { redis, ephemeral, artifacts } = await open();
  await ephemeral.put('k', 'v', 60_000);
  await redis.ask('config', 'set', 'maxmemory', 1);
  expect(await reasonOf(ephemeral.putIfAbsent('mark', '1', 60_000))).toBe('full');
  expect(await reasonOf(ephemeral.take('k'))).toBe('full');
  expect(await reasonOf(artifacts.save('Session', 'id', { payload: {} }, 60))).toBe('full');
  await redis.ask('config', 'set', 'maxmemory', 0);
  expect(await ephemeral.putIfAbsent('mark', '1', 60_000)).toBe(true);
  expect(await ephemeral.take('k')).toBe('v');
});

it('says so in bounded time when Redis stands still, and runs what was under way at most once', async () => {
  const { redis, ephemeral } = await open();
  redis.freeze();
  const startedMs = performance.now();
  const reasons = await Promise.all(Array.from({ length: 5 }, () => reasonOf(ephemeral.increment('n', 60_000))));
  expect(performance.now() - startedMs).toBeLessThan(BOUND_MS);
  for (const reason of reasons) expect(['no_answer', 'unreachable']).toContain(reason);
  redis.resume();
  const count = () => ephemeral.increment('n', 60_000).catch(() => 0);
  const total = await expect.poll(count, { timeout: 10_000 }).toBeGreaterThan(0).then(count);
  expect(total, 'each ran at most once, then two of ours').toBeLessThanOrEqual(5 + 2);
});

it('says so in bounded time when Redis is gone, and that the memory is lost when another is in its place', async () => {
  const { redis, connection, epoch, ephemeral } = await open();
  await redis.kill();
  const startedMs = performance.now();
  expect(await reasonOf(ephemeral.get('k'))).toBe('unreachable');
  expect(await reasonOf(connection.servers())).toBe('unreachable');
  expect(await reasonOf(connection.publish('c', 'm'))).toBe('unreachable');
  expect(performance.now() - startedMs).toBeLessThan(3 * BOUND_MS);
  await redis.start();
  const outcome = () =>
    storesOver(connection, epoch)
      .ephemeral.get('k')
      .catch((error: Error) => error.name);
  await expect.poll(outcome, { timeout: 10_000 }).toBe(MemoryLost.name);
  const next = storesOver(connection, await newEpoch(connection));
  expect(await next.ephemeral.putIfAbsent('k', 'v', 1000)).toBe(true);
});

it('queues no more operations than its limit', async () => {
  const { redis, ephemeral } = await open();
  redis.freeze();
  const waiting = Array.from({ length: OPERATIONS_IN_FLIGHT_MAX }, () => ephemeral.get('k').catch(() => {}));
  expect(await reasonOf(ephemeral.get('k'))).toBe('busy');
  await Promise.all(waiting);
  redis.resume();
  const outcome = () =>
    ephemeral.get('k').then(
      () => 'answered',
      () => 'outage',
    );
  await expect.poll(outcome, { timeout: 10_000 }).toBe('answered');
});

it('answers nothing once it was closed', async () => {
  const { connection, ephemeral } = await open();
  await connection.close();
  expect(await reasonOf(ephemeral.get('k'))).toBe('closed');
  expect(await reasonOf(connection.servers())).toBe('closed');
  expect(await reasonOf(connection.subscribe('c', () => {}))).toBe('closed');
});

it('bounds what a cluster without one of its primaries can do, and works with the others in the meantime', async () => {
  const { nodes, kill } = await openRedisCluster();
  CLEAN_UP.push(kill);
  for (const node of nodes) await node.ask('config', 'set', 'cluster-require-full-coverage', 'no');
  const { connection, ephemeral } = await openStores(redisSettings([nodes[0]!.port], { topology: 'cluster' }));
  CLEAN_UP.push(() => connection.close());
  const keys = Array.from({ length: 60 }, (_, n) => `key${n}`);
  for (const key of keys) await ephemeral.put(key, 'v', 600_000);
  await nodes[2]!.kill();
  const startedMs = performance.now();
  const outcomes = await Promise.all(
    keys.map((key) =>
      ephemeral.get(key).then(
        () => 'answered',
        (error: Error) => error.name,
      ),
    ),
  );
  expect(performance.now() - startedMs).toBeLessThan(BOUND_MS);
  expect(new Set(outcomes)).toEqual(new Set(['answered', 'RedisOutage']));
});
