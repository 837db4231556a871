import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeScratchDirectory } from '../support/scratch.ts';
import { until } from './installation.ts';
import { OAuthTrips } from './oauth_trips.ts';
import { RedisSentinel, SENTINEL_NAME } from './redis_sentinel.ts';
import { SharedServers } from './shared_servers.ts';

// F5: the replica is cut off, the primary goes on and dies, and the Sentinels promote the replica as it was. What was used
// in between is unknown there, and stays dead.

let redis: RedisSentinel;
let place: SharedServers;
let trips: OAuthTrips;

beforeAll(async () => {
  redis = await RedisSentinel.open(join(await makeScratchDirectory('partition'), 'redis'));
  const nodes = redis.sentinels.map((port) => `"127.0.0.1:${port}"`).join(', ');
  const line = `redis: { topology: sentinel, sentinel_name: ${SENTINEL_NAME}, nodes: [${nodes}] }`;
  place = await SharedServers.open('redis-partition', [line]);
  trips = await OAuthTrips.open(place);
}, 150_000);
afterAll(async () => {
  await place?.close();
  await redis?.close();
});

/** The Sentinels mend the cut after a while: then on a slow machine the replica has heard, and it has to be done again. */
async function useUnheard() {
  const [primary, replica] = [await redis.primary(), await redis.replica()];
  const code = await trips.obtainCode();
  await until('the replica has the code', async () => {
    const [ours, theirs] = await Promise.all([primary.ask('dbsize'), replica.ask('dbsize')]);
    return ours === theirs ? true : undefined;
  });
  await redis.cutReplica();
  expect(await trips.redeem(code)).toMatchObject({ status: 200 });
  const [assertion, proof] = [await trips.assertion(), await trips.proof()];
  expect(await trips.post('/token', assertion, { dpop: proof })).toMatchObject({ status: 200 });
  const isCut = String(await replica.ask('info', 'replication')).includes('master_link_status:down');
  return isCut ? { code, assertion, proof } : undefined;
}

test('F5: a promoted replica that missed the last writes brings nothing used back to life', async () => {
  await place.untilAt('redis');
  const waiting = await place.pending('approved before');
  const [primary, replica] = [await redis.primary(), await redis.replica()];
  const { code, assertion, proof } = await until('something is used that the replica does not hear of', useUnheard);
  await place.decide(waiting, 'approve');
  await primary.kill();
  await until(
    'the replica is the primary',
    // The Sentinels close its connections when they promote it.
    async () => {
      const info = String(await replica.ask('info', 'replication').catch(() => ''));
      return info.includes('role:master') ? true : undefined;
    },
    60_000,
  );
  // It holds the mark of the epoch and the code, not consumed: only its own history tells that it missed something.
  for (const server of [0, 1]) {
    await place.at(server);
    expect(await trips.redeem(code), 'code').toMatchObject({ status: 400, error: 'invalid_grant' });
    expect(await trips.post('/token', assertion), 'assertion').toMatchObject({ error: 'invalid_client' });
    const again = await trips.post('/token', await trips.assertion(), { dpop: proof });
    expect(['invalid_dpop_proof', 'invalid_grant', 'invalid_client'], 'proof').toContain(again.error);
  }
  expect(await place.call('approved before')).toMatchObject({ verdict: null, isError: false });
  expect(place.runs('approved before')).toBe(1);
  await place.untilAt('redis');
  expect(await trips.redeem(code)).toMatchObject({ status: 400, error: 'invalid_grant' });
  expect(await trips.freshToken()).toMatchObject({ status: 200 });
}, 150_000);
