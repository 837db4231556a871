import { createLocalJWKSet, decodeJwt, type JWK } from 'jose';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { type LeaseCursor, type LeaseRequest, Leases } from '../../src/api/leases.ts';
import { append } from '../../src/events/append.ts';
import { type CheckpointKey, loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import type { NewEvent } from '../../src/events/event_body.ts';
import { createLogFollower } from '../../src/events/follow.ts';
import { REVOKING_KINDS } from '../../src/events/revocations.ts';
import { sealBatch } from '../../src/events/seal.ts';
import { startSealer } from '../../src/events/sealer.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { type LeaseClaims, verifyLease } from '../../src/wire/lease.ts';
import { LEASE_REVOCATIONS_MAX } from '../../src/wire/limits.ts';
import { generatePrivateKeyJwk, importSigningKey } from '../../src/wire/signing_key.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

const NONCE = 'a-nonce-of-sixteen';
const SERVER = { id: 'tsv_one', resource: 'https://notes.example/mcp' };
let database: TestDatabase;
let store: Store;
let checkpointKey: CheckpointKey;
let leaseKey: JWK;
let publicKey: JWK;
let kids = ['token-one'];
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  checkpointKey = await loadCheckpointKey(store);
  const jwk = await generatePrivateKeyJwk();
  const { publicJwk, thumbprint } = await importSigningKey(jwk);
  publicKey = publicJwk;
  leaseKey = { ...jwk, kid: thumbprint, alg: 'ES256' };
});
afterAll(() => database.drop());
beforeEach(() => sql`truncate events, checkpoints`.execute(database.db));
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  kids = ['token-one'];
});

/** The leases of one node. A deaf one reads the log only when it must. */
async function node(options: { readonly isDeaf?: boolean } = {}): Promise<Leases> {
  const ephemeral = options.isDeaf ? { ...store.ephemeral, subscribe: async () => () => {} } : store.ephemeral;
  const follower = createLogFollower({ ...store, ephemeral }, store.log, { kinds: REVOKING_KINDS });
  const refreshKeys = async () => {
    if (kids.length > 1) return;
    kids = [...kids, 'token-two'];
  };
  const leases = new Leases({ follower, signer: () => leaseKey, keys: () => kids, refreshKeys, log: store.log });
  await follower.start();
  stops.push(() => follower.stop());
  // Silent after its first read, so that only what a request asks for is read.
  if (options.isDeaf) await follower.stop();
  return leases;
}

const happen = async (...events: NewEvent[]) => {
  await transact(store, async (tx, afterCommit) => {
    for (const event of events) await append(store, tx, afterCommit, event);
  });
  await sealBatch(store, checkpointKey, true);
};
const ended = (task: string): NewEvent => ({ kind: 'task.ended', ids: { task } });

async function lease(leases: Leases, cursor: LeaseCursor | null, changes: Partial<LeaseRequest> = {}) {
  const request = { issuer: store.issuer, toolServer: SERVER, nonce: NONCE, cursor, waitMs: 0 };
  const made = await leases.next({ ...request, signal: new AbortController().signal, ...changes });
  if (!made.ok) throw new Error(made.refusal.message);
  const keys = createLocalJWKSet({ keys: [publicKey] });
  const expected = { issuer: store.issuer, resource: SERVER.resource, nonce: NONCE, keys, now: new Date() };
  const verified = await verifyLease(made.value, expected);
  if (!verified.ok) throw new Error(`${verified.refusal.code}: ${JSON.stringify(decodeJwt(made.value))}`);
  return verified.value;
}
const named = (claims: LeaseClaims) => claims.revocations.map(({ what, id }) => `${what} ${id}`);

test('names what was revoked since, of every kind, with position, epoch, keys and time', async () => {
  await happen(ended('before'));
  const leases = await node();
  const first = await lease(leases, null);
  expect(first).toMatchObject({ position: 1, serial: 1, keys: ['token-one'] });
  expect(first).not.toHaveProperty('resync');
  expect(named(first), 'a fresh guard hears of what tokens may still live of').toEqual(['task before']);
  expect(first.exp - first.server_time).toBeCloseTo(60, 3);
  expect(Math.abs(first.server_time * 1000 - Date.now())).toBeLessThan(5_000);
  const ids = { token: 'jti', task: 'tsk', delegation: 'dlg', agent: 'agt', person: 'prs', grant: 'grt' };
  await happen(
    { kind: 'token.revoked', ids },
    { kind: 'delegation.revoked', ids },
    { kind: 'agent.suspended', ids },
    { kind: 'person.disabled', ids },
    { kind: 'grant.revoked', ids },
    { kind: 'policy.activated', ids: { serial: 7 } },
    { kind: 'tool_server.suspended', ids: { tool_server: 'tsv_other' } },
    { kind: 'tool_server.suspended', ids: { tool_server: SERVER.id } },
    { kind: 'person.created', ids },
    { kind: 'agent.offboarded', ids: {} },
  );
  const next = await lease(leases, first, { waitMs: 10_000 });
  expect(named(next)).toEqual([
    'token jti',
    'delegation dlg',
    'agent agt',
    'person prs',
    'grant grt',
    'policy 7',
    `tool_server ${SERVER.id}`,
    'unknown agent.offboarded',
  ]);
  expect(next).toMatchObject({ epoch: first.epoch, position: 11, serial: 11 });
  expect(named(await lease(leases, next))).toEqual([]);
});

test('waits while nothing happens, and answers at once when something was revoked or the process is to end', async () => {
  const leases = await node();
  const first = await lease(leases, null);
  const idle = await lease(leases, first, { waitMs: 300 });
  expect(idle.waited).toBeGreaterThan(0.25);
  const sealer = startSealer(store, { checkpointKey, log: store.log });
  stops.push(sealer.stop);
  const waiting = lease(leases, first, { waitMs: 20_000 });
  await transact(store, (tx, afterCommit) => append(store, tx, afterCommit, ended('now')));
  expect(named(await waiting)).toEqual(['task now']);
  const draining = new AbortController();
  const cursor = await lease(leases, first);
  const last = lease(leases, cursor, { waitMs: 20_000, signal: draining.signal });
  draining.abort();
  expect((await last).waited).toBeLessThan(10);
});

test('many guards share one reader: while nothing happens they cost no query', async () => {
  const leases = await node();
  const first = await lease(leases, null);
  const queries: string[] = [];
  const { connect } = database.pool;
  const spy = vi.spyOn(database.pool, 'connect').mockImplementation(function (this: typeof database.pool, ...args) {
    queries.push('query');
    return (connect as (...all: unknown[]) => never).apply(this, args);
  });
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: 100 }, () => lease(leases, first, { waitMs: 1_000 })));
  const seconds = (performance.now() - startedAt) / 1000;
  spy.mockRestore();
  // Two a second by the reader itself, whatever the number of guards.
  expect(queries.length).toBeGreaterThan(0);
  expect(queries.length).toBeLessThanOrEqual(2 * seconds + 3);
});

test('a change of keys is told at once, and with the keys after it', async () => {
  const leases = await node();
  const first = await lease(leases, null);
  const waiting = lease(leases, first, { waitMs: 20_000 });
  await happen({ kind: 'key.made', ids: { kid: 'token-two' } });
  await store.ephemeral.publish('wake:outbox', '');
  const next = await waiting;
  expect(named(next)).toEqual(['keys token-two']);
  expect((await lease(leases, next)).keys).toEqual(['token-one', 'token-two']);
});

test('a guard that comes from a node that has read further is no resync', async () => {
  const [ahead, behind] = [await node(), await node({ isDeaf: true })];
  const first = await lease(behind, null);
  await happen(ended('one'));
  await store.ephemeral.publish('wake:outbox', '');
  const there = await lease(ahead, first, { waitMs: 10_000 });
  expect(there.position).toBe(1);
  const here = await lease(behind, there);
  expect(here).not.toHaveProperty('resync');
  expect(here.position).toBe(1);
  // And the other way round: what this guard has not heard yet is still known to a node that started later.
  expect(named(await lease(await node(), first))).toEqual(['task one']);
});

test('a new epoch, a smaller head, and a restored log that has grown again are a resync', async () => {
  for (const task of ['one', 'two']) await happen(ended(task));
  const leases = await node();
  const held = await lease(leases, null);
  expect(await lease(leases, held)).not.toHaveProperty('resync');
  expect(await lease(leases, { ...held, epoch: 'another' })).toMatchObject({ resync: true, position: 2 });
  expect(await lease(leases, { ...held, position: 3 })).toMatchObject({ resync: true, position: 2 });
  expect(await lease(leases, { ...held, head: 'another root' })).toMatchObject({ resync: true });
  expect(await lease(leases, { ...held, position: 1 })).toMatchObject({ resync: true });
  await sql`delete from events where position >= 1`.execute(store.db);
  await sql`delete from checkpoints where size > 1`.execute(store.db);
  for (const task of ['another', 'and more', 'and more of it']) await happen(ended(task));
  const resynced = await lease(await node(), held);
  expect(resynced).toMatchObject({ resync: true, position: 4 });
  expect(named(resynced)).toContain('task and more of it');
});

test('more than a lease can name is a resync, with the latest of it', async () => {
  const leases = await node();
  const first = await lease(leases, null);
  const count = LEASE_REVOCATIONS_MAX + 1;
  await happen(...Array.from({ length: count }, (_, index) => ended(String(index))));
  await store.ephemeral.publish('wake:outbox', '');
  const next = await lease(leases, first, { waitMs: 10_000 });
  expect(next).toMatchObject({ resync: true, position: count });
  expect(next.revocations).toHaveLength(LEASE_REVOCATIONS_MAX);
  expect(named(next).at(-1)).toBe(`task ${count - 1}`);
});

test('no lease is given by a process that cannot read the log', async () => {
  const leases = await node({ isDeaf: true });
  const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 10_000);
  const request = { issuer: store.issuer, toolServer: SERVER, nonce: NONCE, cursor: null, waitMs: 0 };
  const made = await leases.next({ ...request, signal: new AbortController().signal });
  clock.mockRestore();
  expect(made).toMatchObject({ ok: false, refusal: { code: 'unavailable' } });
});
