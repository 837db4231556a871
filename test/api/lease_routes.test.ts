import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import { createLocalJWKSet, decodeJwt } from 'jose';
import Koa from 'koa';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { TokenVerifier } from '../../src/api/bearer.ts';
import { addLeaseRoutes } from '../../src/api/lease_routes.ts';
import type { Leases } from '../../src/api/leases.ts';
import { LEASES_PER_TOOL_SERVER_MAX } from '../../src/api/limits.ts';
import { accepted, type Result, refused } from '../../src/kernel/result.ts';
import { openKeyring } from '../../src/keys/keyring.ts';
import { startLeases } from '../../src/server/leases.ts';
import { verifyAccessToken } from '../../src/tasks/access_token.ts';
import { GUARD_API } from '../../src/wire/guard_api.ts';
import { verifyLease } from '../../src/wire/lease.ts';
import { type Refusal, refusal } from '../../src/wire/refusals.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

// Tokens are not what is tested: whoever asks is the guard of the scenario, unless a test says otherwise.
const NONCE = 'a-nonce-of-sixteen';
let database: TestDatabase;
let scene: Scenario;
let leases: Leases;
let origin: string;
let publicKeys: Awaited<ReturnType<typeof openKeyring>>;
let guard: Result<{ client_id: string }, Refusal>;
let draining = new AbortController();
const closing: (() => Promise<void>)[] = [];
const server = createServer();

beforeAll(async () => {
  database = await createTestDatabase();
  const store = createTestStore(database);
  scene = await Scenario.create(store);
  guard = accepted({ client_id: scene.server.client_id });
  publicKeys = await openKeyring(store);
  const started = await startLeases(store, publicKeys, store.log);
  leases = started.leases;
  closing.push(started.stop, () => publicKeys.stop());
  const tokens = { authenticate: async () => guard } as unknown as TokenVerifier;
  const router = new Router();
  addLeaseRoutes(router, {
    store,
    tokens,
    get leases() {
      return leases;
    },
    get draining() {
      return draining.signal;
    },
  });
  server.on('request', new Koa().use(router.routes()).callback());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  for (const close of closing) await close();
  await database.drop();
});

const ask = (query: Record<string, string | number>, signal?: AbortSignal) =>
  fetch(`${origin}${GUARD_API.lease}?${new URLSearchParams(Object.entries(query).map(([k, v]) => [k, String(v)]))}`, {
    ...(signal === undefined ? {} : { signal }),
  });
const leaseOf = async (response: Response) => ((await response.json()) as { lease: string }).lease;
async function held() {
  const { epoch, position, head } = decodeJwt(await leaseOf(await ask({ nonce: NONCE }))) as Record<string, string>;
  return { epoch: epoch!, position: position!, head: head! };
}

test('a lease verifies with the published keys, names those of tokens alone, and no token verifies with its key', async () => {
  const lease = await leaseOf(await ask({ nonce: NONCE }));
  const keys = createLocalJWKSet({ keys: publicKeys.published() });
  const { issuer } = scene.store;
  const expected = { issuer, resource: scene.server.resource, nonce: NONCE, keys, now: new Date() };
  const verified = await verifyLease(lease, expected);
  expect(verified.ok && verified.value.keys).toEqual(publicKeys.published('token').map((key) => key.kid));
  const asToken = await verifyAccessToken(lease, { issuer, audience: scene.server.resource, keys });
  expect(asToken).toMatchObject({ ok: false, refusal: { code: 'token_invalid' } });
});

test('what is wrong with a request is said', async () => {
  for (const [query, words] of [
    [{}, '"nonce"'],
    [{ nonce: 'short' }, '"nonce"'],
    [{ nonce: NONCE, seconds: 6 }, '"seconds"'],
    [{ nonce: NONCE, seconds: 'soon' }, '"seconds"'],
    [{ nonce: NONCE, epoch: 'e', head: '', position: '-1' }, '"position"'],
  ] as const) {
    const response = await ask(query as Record<string, string | number>);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error_description: string }).error_description).toContain(words);
  }
});

test('only a guard gets a lease, as at every route of guards', async () => {
  const right = guard;
  guard = refused(refusal('token_missing', 'The request has no access token.'));
  const response = await ask({ nonce: NONCE });
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toContain('DPoP');
  guard = accepted({ client_id: 'somebody-else' });
  expect((await ask({ nonce: NONCE })).status).toBe(403);
  guard = right;
});

test('as many processes of one guard wait as there are places; a place is free again when its guard leaves', async () => {
  const right = leases;
  // Waits until its guard leaves, however long that takes on a busy machine.
  const next: Leases['next'] = ({ signal }) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(accepted('nobody reads this'))));
  leases = { next } as Leases;
  const leaving = new AbortController();
  const more = 3;
  const asked = Array.from({ length: LEASES_PER_TOOL_SERVER_MAX + more }, () =>
    ask({ nonce: NONCE }, leaving.signal).then(
      ({ status }) => status,
      () => 'left',
    ),
  );
  const answered: (number | string)[] = [];
  for (const one of asked) void one.then((status) => answered.push(status));
  await vi.waitUntil(() => answered.length === more, { timeout: 20_000 });
  expect(answered).toEqual(Array(more).fill(429));
  leaving.abort();
  await Promise.all(asked);
  leases = right;
  await expect.poll(async () => (await ask({ nonce: NONCE })).status, { timeout: 20_000 }).toBe(200);
});

test('a process that is about to end answers who waits at once', async () => {
  const cursor = await held();
  const waiting = ask({ nonce: NONCE, seconds: 5, ...cursor });
  setTimeout(() => draining.abort(), 50);
  const { waited } = decodeJwt(await leaseOf(await waiting)) as { waited: number };
  expect(waited).toBeLessThan(4);
  draining = new AbortController();
});
