import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { connectRedis } from '../../../src/store/redis/connect.ts';
import { RedisOutage, RedisPolicyError } from '../../../src/store/redis/errors.ts';
import { inspectPrimary } from '../../../src/store/redis/inspect.ts';
import { openRedisCluster, redisSettings, TestRedis } from '../../support/redis.ts';
import { openStores } from './open_stores.ts';

const EVICTING = ['allkeys-lru', 'allkeys-lfu', 'allkeys-random', 'volatile-lru', 'volatile-ttl'];

describe('Redis as it is set up', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await TestRedis.open();
  });
  afterAll(() => redis.kill());
  afterEach(() => redis.ask('config', 'set', 'maxmemory-policy', 'noeviction'));

  it.each(EVICTING)('is refused with %s, and told which setting to change', async (policy) => {
    await redis.ask('config', 'set', 'maxmemory-policy', policy);
    const refusal = connectRedis(redisSettings([redis.port]), silentLogger);
    await expect(refusal).rejects.toThrow(RedisPolicyError);
    await expect(refusal).rejects.toThrow(`127.0.0.1:${redis.port} has maxmemory-policy "${policy}"`);
    await expect(refusal).rejects.toThrow('maxmemory-policy noeviction');
  });

  it('is an outage when it evicts later, before another epoch begins on it', async () => {
    const { connection } = await openStores(redisSettings([redis.port]));
    await redis.ask('config', 'set', 'maxmemory-policy', 'allkeys-lru');
    await expect(connection.servers()).rejects.toThrow(RedisOutage);
    await expect(connection.servers()).rejects.toThrow('maxmemory-policy "allkeys-lru"');
    await connection.close();
  });

  it('works, and is refused if it evicts, for a user that may run nothing but what we need', async () => {
    await redis.ask(
      ...(['acl', 'setuser', 'guest', 'on', '>s3cret', '~test:*', '&test:*', '-@all'] as const),
      ...['+@string', '+@hash', '+@keyspace', '-keys', '-@dangerous', '+@scripting', '+@connection', '+time'],
      ...['+info', '+publish', '+subscribe'],
    );
    const settings = redisSettings([redis.port], { username: 'guest', password: 's3cret' });
    const { connection, ephemeral, artifacts } = await openStores(settings);
    expect(await ephemeral.increment('n', 1000)).toBe(1);
    await artifacts.save('Session', 'id', { payload: {}, uid: 'uid', grantId: 'grant' }, 60);
    expect(await artifacts.consume('Session', 'id')).toBe('consumed');
    await artifacts.revokeByGrant('grant');
    expect(await artifacts.findByUid('Session', 'uid')).toBeUndefined();
    await connection.subscribe('c', () => {});
    await connection.close();
    await redis.ask('config', 'set', 'maxmemory-policy', 'volatile-lru');
    await expect(connectRedis(settings, silentLogger)).rejects.toThrow(RedisPolicyError);
  });

  it('is refused with a wrong password, which is not repeated', async () => {
    const settings = redisSettings([redis.port], { username: 'guest', password: 'wr0ng' });
    const refusal = connectRedis(settings, silentLogger);
    await expect(refusal).rejects.toThrow(RedisPolicyError);
    await expect(refusal).rejects.toThrow('WRONGPASS');
    const error = await refusal.catch((reason: unknown) => reason);
    expect(JSON.stringify(error) + String(error) + String((error as Error).cause)).not.toContain('wr0ng');
  });

  it('is an outage where nobody listens', async () => {
    const gone = await TestRedis.open();
    await gone.kill();
    const refusal = connectRedis(redisSettings([gone.port]), silentLogger);
    await expect(refusal).rejects.toThrow(RedisOutage);
    await expect(refusal).rejects.toThrow(`ECONNREFUSED 127.0.0.1:${gone.port} `);
  });
});

it('refuses a Cluster of which one primary evicts, and a node of a Cluster as a single Redis', async () => {
  const { nodes, kill } = await openRedisCluster();
  const settings = redisSettings([nodes[0]!.port], { topology: 'cluster' });
  try {
    const { connection } = await openStores(settings);
    expect(await connection.servers()).toHaveLength(3);
    await connection.close();
    await nodes[2]!.ask('config', 'set', 'maxmemory-policy', 'allkeys-lru');
    await expect(connectRedis(settings, silentLogger)).rejects.toThrow(
      `127.0.0.1:${nodes[2]!.port} has maxmemory-policy`,
    );
    await expect(connectRedis(redisSettings([nodes[0]!.port]), silentLogger)).rejects.toThrow('Write "cluster"');
  } finally {
    await kill();
  }
});

describe('what INFO says', () => {
  const info = (changes: Readonly<Record<string, string>> = {}) =>
    Object.entries({
      redis_version: '7.0.15',
      redis_mode: 'standalone',
      maxmemory_policy: 'noeviction',
      role: 'master',
      master_replid: 'abc',
      ...changes,
    })
      .map(([name, value]) => `${name}:${value}`)
      .join('\r\n');

  it('names the history of a primary', () => {
    expect(inspectPrimary('single', 'a:1', info())).toBe('abc');
    expect(inspectPrimary('single', 'a:1', info({ redis_version: '8.2.1' }))).toBe('abc');
  });

  it('refuses what is older than our scripts, or does not say how old it is', () => {
    for (const version of ['6.2.14', '', 'unknown']) {
      const refusal = () => inspectPrimary('single', 'a:1', info({ redis_version: version }));
      expect(refusal).toThrow(RedisPolicyError);
      expect(refusal).toThrow('7.0 or later');
    }
  });

  it('refuses a policy it cannot see', () => {
    expect(() => inspectPrimary('single', 'a:1', 'redis_version:7.0.0\r\n')).toThrow(RedisPolicyError);
  });

  it('is no primary for us if it says it is a replica', () => {
    expect(() => inspectPrimary('single', 'a:1', info({ role: 'slave' }))).toThrow(RedisOutage);
  });
});
