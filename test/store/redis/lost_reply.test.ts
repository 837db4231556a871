import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TcpProxy } from '../../faults/tcp_proxy.ts';
import { redisSettings, TestRedis } from '../../support/redis.ts';
import { openStores } from './open_stores.ts';

let redis: TestRedis;
let proxy: TcpProxy;
let stores: Awaited<ReturnType<typeof openStores>>;
let cuts = 0;

beforeAll(async () => {
  redis = await TestRedis.open();
  proxy = await TcpProxy.open({ port: redis.port });
  stores = await openStores(redisSettings([proxy.port]));
});
afterAll(async () => {
  await stores?.connection.close();
  await proxy?.close();
  await redis?.kill();
});

/** Redis runs the next script, and its answer is lost with the connection. */
function loseNextReply(): void {
  const stop = proxy.watch('replies', (bytes) => {
    if (!bytes.includes('done')) return;
    stop();
    proxy.cut();
    cuts += 1;
  });
}

/** The answer that was lost on the way. */
async function afterLoss<Value>(operation: () => Promise<Value>): Promise<Value> {
  const before = cuts;
  loseNextReply();
  const answer = await operation();
  expect(cuts, 'the reply was not lost').toBe(before + 1);
  return answer;
}

describe('an operation whose reply was lost ran once, and says so', () => {
  it('takes', async () => {
    const { ephemeral } = stores;
    await ephemeral.put('take', 'prize', 60_000);
    expect(await afterLoss(() => ephemeral.take('take'))).toBe('prize');
    expect(await ephemeral.take('take')).toBeUndefined();
  });

  it('marks', async () => {
    const { ephemeral } = stores;
    expect(await afterLoss(() => ephemeral.putIfAbsent('mark', '1', 60_000))).toBe(true);
    expect(await ephemeral.putIfAbsent('mark', '2', 60_000)).toBe(false);
    expect(await afterLoss(() => ephemeral.putIfAbsent('mark', '3', 60_000))).toBe(false);
  });

  it('counts', async () => {
    const { ephemeral } = stores;
    expect(await afterLoss(() => ephemeral.increment('count', 60_000))).toBe(1);
    expect(await ephemeral.increment('count', 60_000)).toBe(2);
  });

  it('consumes', async () => {
    const { artifacts } = stores;
    await artifacts.save('AuthorizationCode', 'code', { payload: {} }, 60);
    expect(await artifacts.find('AuthorizationCode', 'code')).toEqual({ payload: {} });
    let isArmed = false;
    const stop = proxy.watch('replies', (bytes) => {
      // The look before comes first: only the step itself answers with this word.
      if (isArmed || !bytes.includes('consumed')) return;
      isArmed = true;
      proxy.cut();
    });
    expect(await artifacts.consume('AuthorizationCode', 'code')).toBe('consumed');
    stop();
    expect(isArmed, 'the reply was not lost').toBe(true);
    expect(await artifacts.consume('AuthorizationCode', 'code')).toBe('already_consumed');
  });

  it('saves what must be new', async () => {
    const { artifacts } = stores;
    const save = (n: number) => artifacts.saveNew('ReplayDetection', 'jti', { payload: { n } }, 60);
    expect(await afterLoss(() => save(1))).toBe('saved');
    expect(await save(2)).toBe('already_exists');
    expect(await artifacts.find('ReplayDetection', 'jti')).toEqual({ payload: { n: 1 } });
  });

  it('does not undo what somebody else did after it', async () => {
    const { ephemeral } = stores;
    const other = await openStores(redisSettings([redis.port]), stores.epoch);
    let deleted: Promise<void> | undefined;
    const stop = proxy.watch('replies', (bytes) => {
      if (deleted !== undefined || !bytes.includes('done')) return;
      proxy.cut();
      // So that the request is sent again after the other one deleted what it wrote.
      proxy.delay(40);
      deleted = other.ephemeral.delete('status');
    });
    try {
      await ephemeral.put('status', 'open', 60_000);
      expect(deleted, 'the reply was not lost').toBeDefined();
      await deleted;
      expect(await other.ephemeral.get('status')).toBeUndefined();
    } finally {
      stop();
      proxy.heal();
      await other.connection.close();
    }
  });

  it('runs once each of 50 at a time whose connection is cut', async () => {
    const { ephemeral } = stores;
    const outcomes: boolean[] = [];
    for (let round = 0; round < 10; round += 1) {
      loseNextReply();
      const counts = Array.from({ length: 50 }, () => ephemeral.increment('many', 60_000));
      outcomes.push(...(await Promise.allSettled(counts)).map(({ status }) => status === 'fulfilled'));
    }
    const counted = outcomes.filter(Boolean).length;
    expect(counted).toBeGreaterThan(0);
    // On a slow machine some are told of an outage, and may have run.
    const total = await ephemeral.increment('many', 60_000);
    expect(total).toBeGreaterThan(counted);
    expect(total).toBeLessThanOrEqual(outcomes.length + 1);
  });
});
