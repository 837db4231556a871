import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TcpProxy } from '../../faults/tcp_proxy.ts';
import { openRedisCluster, redisSettings, TestRedis } from '../../support/redis.ts';
import { openStores } from './open_stores.ts';

describe('wake-ups over Redis', () => {
  let redis: TestRedis;
  let proxy: TcpProxy;
  let near: Awaited<ReturnType<typeof openStores>>;
  let far: Awaited<ReturnType<typeof openStores>>;
  beforeAll(async () => {
    redis = await TestRedis.open();
    proxy = await TcpProxy.open({ port: redis.port });
    near = await openStores(redisSettings([redis.port]));
    far = await openStores(redisSettings([proxy.port]), near.epoch);
  });
  afterAll(async () => {
    await near?.connection.close();
    await far?.connection.close();
    await proxy?.close();
    await redis?.kill();
  });

  const listen = async (channel: string) => {
    const heard: string[] = [];
    const unsubscribe = await far.ephemeral.subscribe(channel, (message) => heard.push(message));
    return { heard, unsubscribe };
  };

  const subscribing = () =>
    listen('in vain').then(
      ({ unsubscribe }) => {
        unsubscribe();
        return 'subscribed';
      },
      (error: Error) => error.message,
    );

  it.each(['cut', 'mute'] as const)(
    'call every listener once after the connection was %s, and go on',
    async (fault) => {
      const [one, two] = [await listen('one'), await listen('two')];
      await near.ephemeral.publish('one', 'before');
      await expect.poll(() => one.heard).toEqual(['before']);
      proxy[fault]();
      await near.ephemeral.publish('one', 'missed').catch(() => {});
      // Nobody tells a muted connection that it is dead: it is found out while it is still muted.
      if (fault === 'mute') await expect.poll(subscribing, { timeout: 15_000 }).toContain('no subscription');
      proxy.heal();
      await expect.poll(() => [one.heard, two.heard], { timeout: 10_000 }).toEqual([['before', ''], ['']]);
      await near.ephemeral.publish('two', 'after');
      await expect.poll(() => two.heard).toEqual(['', 'after']);
      expect(one.heard).toEqual(['before', '']);
      one.unsubscribe();
      two.unsubscribe();
    },
  );

  it('subscribe only when the subscription is in force', { timeout: 30_000 }, async () => {
    proxy.refuse();
    proxy.cut();
    await expect.poll(subscribing, { timeout: 15_000 }).toContain('no subscription');
    const subscribed = listen('back');
    proxy.heal();
    const { heard, unsubscribe } = await subscribed;
    await near.ephemeral.publish('back', 'heard');
    await expect.poll(() => heard).toContain('heard');
    unsubscribe();
  });

  it('ignore what somebody else says on their channel', async () => {
    const { heard, unsubscribe } = await listen('c');
    for (const text of ['', 'c', '[]', '["c"]', '{}', 'null', '["c",1]']) await redis.ask('publish', 'test:wake', text);
    await near.ephemeral.publish('c', 'ours');
    await expect.poll(() => heard).toEqual(['ours']);
    unsubscribe();
  });
});

it('reach the subscriber of a Cluster whose node died', async () => {
  const { nodes, kill } = await openRedisCluster();
  const settings = redisSettings(
    nodes.map((node) => node.port),
    { topology: 'cluster' },
  );
  const { connection } = await openStores(settings);
  try {
    const heard: string[] = [];
    await connection.subscribe('c', (message) => heard.push(message));
    for (const node of nodes) await node.ask('config', 'set', 'cluster-require-full-coverage', 'no');
    const subscribed = async () => {
      const counts = await Promise.all(nodes.map((node) => node.ask('pubsub', 'numsub', 'test:wake').catch(() => [])));
      return counts.findIndex((count) => Number((count as unknown[])[1]) > 0);
    };
    await nodes[await subscribed()]!.kill();
    await expect.poll(() => heard, { timeout: 20_000 }).toContain('');
    const afterPublishing = async () => {
      await connection.publish('c', 'after').catch(() => {});
      return heard;
    };
    await expect.poll(afterPublishing, { timeout: 20_000 }).toContain('after');
  } finally {
    await connection.close();
    await kill();
  }
});
