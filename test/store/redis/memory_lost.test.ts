import { copyFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryLost, RedisOutage } from '../../../src/store/redis/errors.ts';
import type { RedisSettings } from '../../../src/store/redis/settings.ts';
import { RedisSentinel, SENTINEL_NAME } from '../../faults/redis_sentinel.ts';
import { redisSettings, TestRedis } from '../../support/redis.ts';
import { makeScratchDirectory } from '../../support/scratch.ts';
import { newEpoch, openStores, storesOver } from './open_stores.ts';

const CLEAN_UP: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const undo of CLEAN_UP.splice(0).toReversed()) await undo();
});

async function openRedis(...args: string[]): Promise<TestRedis> {
  const redis = await TestRedis.open(() => args);
  CLEAN_UP.push(() => redis.kill());
  return redis;
}

async function open(settings: RedisSettings) {
  const stores = await openStores(settings);
  CLEAN_UP.push(() => stores.connection.close());
  return stores;
}

type Stores = Awaited<ReturnType<typeof openStores>>;

/** After the first of these, the memory was lost: whatever the script, it must not have worked with what is there. */
async function expectLost({ ephemeral, artifacts }: Pick<Stores, 'ephemeral' | 'artifacts'>): Promise<void> {
  const operations: Readonly<Record<string, () => Promise<unknown>>> = {
    get: () => ephemeral.get('k'),
    put: () => ephemeral.put('k', 'v', 1000),
    take: () => ephemeral.take('k'),
    putIfAbsent: () => ephemeral.putIfAbsent('k', 'v', 1000),
    increment: () => ephemeral.increment('k', 1000),
    delete: () => ephemeral.delete('k'),
    save: () => artifacts.save('Session', 'id', { payload: {} }, 60),
    saveNew: () => artifacts.saveNew('Session', 'id', { payload: {} }, 60),
    find: () => artifacts.find('Session', 'id'),
    findByUid: () => artifacts.findByUid('Session', 'id'),
    consume: () => artifacts.consume('Session', 'id'),
    destroy: () => artifacts.destroy('Session', 'id'),
    revokeByGrant: () => artifacts.revokeByGrant('grant'),
  };
  for (const [name, operation] of Object.entries(operations)) {
    await expect(operation(), name).rejects.toThrow(MemoryLost);
  }
}

describe('Redis does not hold the memory of the epoch', () => {
  it('on a server the epoch does not know', async () => {
    const redis = await openRedis();
    const { connection, epoch } = await open(redisSettings([redis.port]));
    await expectLost(storesOver(connection, { ...epoch, servers: ['0'.repeat(40)] }));
    await expectLost(storesOver(connection, { ...epoch, servers: [] }));
    expect(await redis.ask('dbsize'), 'only the marks').toBe(64);
  });

  it('once it was emptied, or the epoch dropped', async () => {
    const redis = await openRedis();
    const stores = await open(redisSettings([redis.port]));
    await stores.ephemeral.put('k', 'v', 60_000);
    await redis.ask('flushall');
    await expectLost(stores);
    const epoch = await newEpoch(stores.connection);
    const next = storesOver(stores.connection, epoch);
    expect(await next.ephemeral.get('k')).toBeUndefined();
    await stores.connection.drop(epoch.id);
    await expectLost(next);
    await redis.kill();
    await stores.connection.drop(epoch.id);
  });

  it('after kill -9 and the start from an old dump, and nothing of that dump is found in the next epoch', async () => {
    const redis = await openRedis();
    const stores = await open(redisSettings([redis.port]));
    await stores.artifacts.save('AuthorizationCode', 'code', { payload: {} }, 600);
    await redis.ask('save');
    const old = `${redis.dump}.old`;
    await copyFile(redis.dump, old);
    expect(await stores.artifacts.consume('AuthorizationCode', 'code')).toBe('consumed');
    expect(await stores.ephemeral.putIfAbsent('jti', '1', 600_000)).toBe(true);
    await redis.kill();
    await copyFile(old, redis.dump);
    await redis.start();
    await expect.poll(() => stores.connection.servers().catch(() => [])).toHaveLength(1);
    expect(await redis.ask('dbsize'), 'the dump was read').toBeGreaterThan(64);
    await expectLost(stores);
    const next = storesOver(stores.connection, await newEpoch(stores.connection));
    expect(await next.artifacts.find('AuthorizationCode', 'code')).toBeUndefined();
    expect(await next.artifacts.consume('AuthorizationCode', 'code')).toBe('not_found');
  });

  it('after a former primary, the same process, was promoted again with the data of another', async () => {
    const [first, second] = [await openRedis(), await openRedis()];
    const follow = async (replica: TestRedis, primary: TestRedis) => {
      await replica.ask('replicaof', '127.0.0.1', primary.port);
      await expect.poll(() => replica.ask('info', 'replication'), { timeout: 20_000 }).toContain('link_status:up');
    };
    await follow(second, first);
    const stores = await open(redisSettings([first.port]));
    await stores.artifacts.save('AuthorizationCode', 'code', { payload: {} }, 600);
    await expect.poll(() => second.ask('dbsize')).toBeGreaterThan(65);
    await second.ask('replicaof', 'no', 'one');
    expect(await stores.artifacts.consume('AuthorizationCode', 'code')).toBe('consumed');
    const processOf = async () => /run_id:(\w+)/.exec(String(await first.ask('info', 'server')))?.[1];
    const before = await processOf();
    await follow(first, second);
    await expect(stores.artifacts.consume('AuthorizationCode', 'code')).rejects.toThrow(/READONLY|of epoch/);
    await first.ask('replicaof', 'no', 'one');
    expect(await processOf(), 'the same process').toBe(before);
    await expectLost(stores);
  });

  it('after the Sentinels promoted a replica that had been cut off', { timeout: 90_000 }, async () => {
    const redis = await RedisSentinel.open(await makeScratchDirectory('sentinel'));
    CLEAN_UP.push(() => redis.close());
    const stores = await open(redisSettings(redis.sentinels, { topology: 'sentinel', sentinelName: SENTINEL_NAME }));
    await stores.artifacts.save('AuthorizationCode', 'code', { payload: {} }, 600);
    const [primary, replica] = [await redis.primary(), await redis.replica()];
    await expect.poll(() => replica.ask('dbsize')).toBeGreaterThan(64);
    await redis.cutReplica();
    expect(await stores.artifacts.consume('AuthorizationCode', 'code')).toBe('consumed');
    await primary.kill();
    const outcome = () =>
      stores.artifacts.consume('AuthorizationCode', 'code').catch((error: Error) => {
        // Out of reach until the Sentinels agree.
        if (error instanceof RedisOutage) return 'outage';
        return error;
      });
    const seen = new Set<unknown>();
    await expect
      .poll(
        async () => {
          const one = await outcome();
          if (typeof one === 'string') seen.add(one);
          return one;
        },
        { timeout: 60_000, interval: 100 },
      )
      .toBeInstanceOf(MemoryLost);
    expect([...seen].filter((one) => one !== 'outage')).toEqual([]);
    const next = storesOver(stores.connection, await newEpoch(stores.connection));
    expect(await next.artifacts.find('AuthorizationCode', 'code')).toBeUndefined();
  });
});
