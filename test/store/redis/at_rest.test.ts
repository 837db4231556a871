import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisSettings, TestRedis } from '../../support/redis.ts';
import { openStores } from './open_stores.ts';

let redis: TestRedis;
let stores: Awaited<ReturnType<typeof openStores>>;

beforeAll(async () => {
  redis = await TestRedis.open();
  stores = await openStores(redisSettings([redis.port]));
});
afterAll(async () => {
  await stores?.connection.close();
  await redis?.kill();
});

async function keyOfArtifact(): Promise<string> {
  const keys = (await redis.ask('keys', '*:artifact:*')) as string[];
  expect(keys).toHaveLength(1);
  return keys[0]!;
}

describe('what lies in Redis', () => {
  it('is no credential: a dump holds neither ids nor names nor payloads', async () => {
    const record = {
      payload: { sub: 'person-of-payload' },
      grantId: 'grant-of-code',
      uid: 'uid-of-code',
      userCode: 'WDJB-MJHT',
    };
    await stores.artifacts.save('DeviceCode', 'the-device-code', record, 600);
    await stores.artifacts.consume('DeviceCode', 'the-device-code');
    await stores.artifacts.revokeByGrant('another-grant');
    await stores.ephemeral.putIfAbsent('replay:the-jti', '1', 600_000);
    await redis.ask('save');
    const dump = await readFile(redis.dump, 'latin1');
    for (const secret of ['person-of-payload', 'grant', 'uid-of', 'WDJB', 'the-device-code', 'another', 'the-jti']) {
      expect(dump.replaceAll(/:grant:/g, ''), secret).not.toContain(secret);
    }
    await stores.artifacts.destroy('DeviceCode', 'the-device-code');
  });

  it('expires, all but the marks of the epoch', async () => {
    await stores.artifacts.save('Grant', 'for-ever', { payload: {}, grantId: 'for-ever', uid: 'u' }, undefined);
    await stores.ephemeral.increment('n', 1000);
    await stores.artifacts.destroy('Grant', 'for-ever');
    await stores.artifacts.save('Grant', 'for-ever', { payload: {}, grantId: 'for-ever', uid: 'u' }, undefined);
    for (const key of (await redis.ask('keys', '*')) as string[]) {
      if (!key.endsWith(':mark')) expect(Number(await redis.ask('pttl', key)), key).toBeGreaterThan(0);
    }
    await stores.artifacts.destroy('Grant', 'for-ever');
  });

  it('does not pass for an artifact when it was written by hand', async () => {
    const { artifacts } = stores;
    await artifacts.save('AuthorizationCode', 'code', { payload: {} }, 600);
    const key = await keyOfArtifact();
    const payload = String(await redis.ask('hget', key, 'payload'));
    await redis.ask('hset', key, 'payload', Buffer.from('{"kind":"AuthorizationCode"}').toString('base64'));
    await expect(artifacts.find('AuthorizationCode', 'code')).rejects.toThrow();
    await expect(artifacts.consume('AuthorizationCode', 'code')).rejects.toThrow();
    await redis.ask('hset', key, 'payload', payload);
    expect(await artifacts.find('AuthorizationCode', 'code')).toEqual({ payload: {} });
  });

  it('does not pass for another artifact when it was copied', async () => {
    const { artifacts } = stores;
    const key = await keyOfArtifact();
    const copy = await redis.ask('hget', key, 'payload');
    await artifacts.destroy('AuthorizationCode', 'code');
    await artifacts.save('AuthorizationCode', 'other', { payload: {} }, 600);
    await redis.ask('hset', await keyOfArtifact(), 'payload', String(copy));
    await expect(artifacts.find('AuthorizationCode', 'other')).rejects.toThrow('by hand');
    await artifacts.destroy('AuthorizationCode', 'other');
  });

  it('does not live without the entry of its grant', async () => {
    const { artifacts } = stores;
    await artifacts.save('AuthorizationCode', 'code', { payload: {}, grantId: 'grant' }, 600);
    for (const key of (await redis.ask('keys', '*:grant:*')) as string[]) await redis.ask('del', key);
    expect(await artifacts.find('AuthorizationCode', 'code')).toBeUndefined();
    expect(await artifacts.consume('AuthorizationCode', 'code')).toBe('not_found');
  });

  it('keeps a revocation longer than anything of its grant', async () => {
    const { artifacts } = stores;
    const days = 86_400;
    await artifacts.save('AuthorizationCode', 'long', { payload: {}, grantId: 'long' }, 30 * days);
    await artifacts.save('AuthorizationCode', 'short', { payload: {}, grantId: 'long' }, 60);
    await redis.ask('del', ...((await redis.ask('keys', '*:receipt:*')) as string[]));
    const ttls = async () => {
      const keys = (await redis.ask('keys', '*:grant:*')) as string[];
      return Math.max(...(await Promise.all(keys.map(async (key) => Number(await redis.ask('ttl', key))))));
    };
    expect(await ttls()).toBeGreaterThan(29 * days);
    await artifacts.revokeByGrant('long');
    await artifacts.revokeByGrant('long');
    expect(await ttls()).toBeGreaterThan(29 * days);
  });
});
