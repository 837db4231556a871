import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import { connectRedis } from '../../src/store/redis/connect.ts';
import { createRedisEphemeralStore } from '../../src/store/redis/ephemeral.ts';
import { redisSettings, TestRedis } from '../support/redis.ts';
import { OAuthTrips } from './oauth_trips.ts';
import { SharedServers, singleRedis } from './shared_servers.ts';

// F4: an old dump of Redis brings back nothing, and what somebody writes there by hand authorizes nothing. F2: what was
// used stays dead when all servers were killed, whether Redis lived or not.

const HOUR_MS = 3_600_000;
let redis: TestRedis;
let place: SharedServers;
let trips: OAuthTrips;

beforeAll(async () => {
  redis = await TestRedis.open();
  place = await SharedServers.open('redis-old-dump', [singleRedis(redis.port)]);
  trips = await OAuthTrips.open(place);
}, 120_000);
afterAll(async () => {
  await place?.close();
  await redis?.kill();
});

const refusedCode = { status: 400, error: 'invalid_grant' };
const refusedAssertion = { error: 'invalid_client' };
const refusedProof = { status: 400, error: 'invalid_dpop_proof' };

/** Everything that can be used once, used: what to send again, and how each must be refused. */
async function useUp() {
  const code = await trips.obtainCode();
  const unused = await trips.obtainCode();
  const dump = join(place.root, 'old.rdb');
  await redis.ask('save');
  await copyFile(redis.dump, dump);
  const tokens = await trips.redeem(code);
  expect(tokens).toMatchObject({ status: 200 });
  const rotated = await trips.refresh(tokens.refresh_token);
  expect(rotated).toMatchObject({ status: 200 });
  const assertion = await trips.assertion();
  const proof = await trips.proof();
  expect(await trips.post('/token', assertion, { dpop: proof })).toMatchObject({ status: 200 });
  return { dump, code, unused, tokens, assertion, proof };
}

async function expectDead(used: Awaited<ReturnType<typeof useUp>>, what: string): Promise<void> {
  for (const server of [0, 1]) {
    await place.at(server);
    expect(await trips.redeem(used.code), `${what}: code`).toMatchObject(refusedCode);
    expect(await trips.post('/token', used.assertion), `${what}: assertion`).toMatchObject(refusedAssertion);
    const again = await trips.post('/token', await trips.assertion(), { dpop: used.proof });
    // Used before (by the engine's words) or older than the memory: refused either way.
    expect(['invalid_dpop_proof', 'invalid_grant', 'invalid_client'], `${what}: proof`).toContain(again.error);
    // Reuse of a rotated token kills its family.
    expect(await trips.refresh(used.tokens.refresh_token), `${what}: refresh`).toMatchObject(refusedCode);
  }
  expect(await trips.freshToken(), `${what}: a new one`).toMatchObject({ status: 200 });
}

test('F4: codes, refresh tokens, assertions and proofs that were used are dead after an old dump was restored', async () => {
  const used = await useUp();
  const waiting = await place.pending('approved before');
  await place.decide(waiting, 'approve');
  await redis.kill();
  await copyFile(used.dump, redis.dump);
  await redis.start();
  await expectDead(used, 'old dump');
  // Not used before the dump was made, and all the same of another life of the memory.
  expect(await trips.redeem(used.unused)).toMatchObject(refusedCode);
  // The grant is in PostgreSQL and does not care.
  expect(await place.call('approved before')).toMatchObject({ verdict: null, isError: false });
  expect(place.runs('approved before')).toBe(1);
}, 60_000);

test('F2: what was used is dead after all servers were killed, although Redis lives on', async () => {
  const used = await useUp();
  await place.kill();
  await place.start();
  await expectDead(used, 'kill -9 of the servers');
}, 60_000);

test('F4: an approval written into Redis by hand authorizes nothing', async () => {
  const waiting = await place.pending('forged');
  await place.untilAt('redis');
  const row = await place.database.db.selectFrom('ephemeral_memory').selectAll().executeTakeFirstOrThrow();
  const connection = await connectRedis(redisSettings([redis.port], { keyPrefix: 'countersign' }), silentLogger);
  try {
    const epoch = { id: row.epoch, servers: row.servers };
    const store = createRedisEphemeralStore({ connection, epoch: () => epoch });
    const status = {
      ...{ step_up_id: waiting.stepUpId, state: 'approved', reason: null, approval_url: waiting.approvalUrl },
      expires_at: new Date(Date.now() + HOUR_MS).toISOString(),
    };
    const { tool_server_id: tool_server } = await place.database.db
      .selectFrom('step_ups')
      .select('tool_server_id')
      .where('id', '=', waiting.stepUpId)
      .executeTakeFirstOrThrow();
    await store.put(`grant:${waiting.stepUpId}`, JSON.stringify({ tool_server, status }), HOUR_MS);
    expect(await store.get(`grant:${waiting.stepUpId}`)).toContain('approved');
  } finally {
    await connection.close();
  }
  expect((await place.call('forged')).verdict).toMatchObject({ kind: 'waiting', stepUpId: waiting.stepUpId });
  expect(place.runs('forged')).toBe(0);
  const { db } = place.database;
  expect(await db.selectFrom('grants').select('id').where('step_up_id', '=', waiting.stepUpId).execute()).toEqual([]);
}, 60_000);

test('F4: Redis was emptied: an unused proof counts, a used one does not', async () => {
  const used = await trips.proof();
  expect(await trips.newToken(used)).toMatchObject({ status: 200 });
  await redis.ask('flushall');
  expect(await trips.post('/token', await trips.assertion(), { dpop: used })).toMatchObject({
    error: expect.stringMatching(/^invalid_(client|dpop_proof|grant)$/),
  });
  const again = await trips.post('/token', await trips.assertion(), { dpop: used });
  expect(again).toMatchObject(refusedProof);
  expect(await trips.freshToken()).toMatchObject({ status: 200 });
}, 60_000);
