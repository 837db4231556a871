import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import Koa from 'koa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TokenVerifier } from '../../src/api/bearer.ts';
import { addGuardRoutes } from '../../src/api/guard_routes.ts';
import { WAITS_PER_TOOL_SERVER_MAX } from '../../src/api/limits.ts';
import { accepted } from '../../src/kernel/result.ts';
import { GUARD_API } from '../../src/wire/guard_api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

// Tokens are not what is tested: whoever asks is the guard of the scenario.
let database: TestDatabase;
let scene: Scenario;
let origin: string;
const server = createServer();
const draining = new AbortController();

beforeAll(async () => {
  database = await createTestDatabase();
  const store = createTestStore(database);
  scene = await Scenario.create(store);
  const tokens = { authenticate: async () => accepted({ client_id: scene.server.client_id }) };
  const router = new Router();
  addGuardRoutes(router, {
    store,
    book: scene.book,
    tokens: tokens as unknown as TokenVerifier,
    draining: draining.signal,
  });
  server.on('request', new Koa().use(router.routes()).callback());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await database.drop();
});

it('one guard waits for a bounded number of decisions; places are free again when it leaves', async () => {
  const stepUpId = await scene.ask('write_file', { path: 'a.md', content: 'x' });
  const wait = (seconds: number, signal?: AbortSignal) =>
    fetch(`${origin}${GUARD_API.wait(stepUpId)}?seconds=${seconds}`, signal === undefined ? {} : { signal });
  const leaving = new AbortController();
  const waiting = Array.from({ length: WAITS_PER_TOOL_SERVER_MAX }, () => wait(25, leaving.signal).catch(() => null));
  const refusedWhileFull = async () => {
    const answer = await wait(0);
    return answer.status === 429 && (await answer.json()).error === 'rate_limited';
  };
  await expect.poll(refusedWhileFull, { timeout: 20_000 }).toBe(true);
  leaving.abort();
  await Promise.all(waiting);
  await expect.poll(async () => (await wait(0)).status, { timeout: 20_000 }).toBe(200);
}, 60_000);

it('a wait lasts as long as it was asked to, or until the decision', async () => {
  const stepUpId = await scene.ask('write_file', { path: 'b.md', content: 'x' });
  const startedAt = performance.now();
  const answer = await fetch(`${origin}${GUARD_API.wait(stepUpId)}?seconds=1`);
  expect(await answer.json()).toMatchObject({ state: 'open' });
  expect(performance.now() - startedAt).toBeGreaterThan(900);
  const decided = fetch(`${origin}${GUARD_API.wait(stepUpId)}?seconds=25`);
  await scene.decide(stepUpId, scene.requester, 'approve');
  expect(await (await decided).json()).toMatchObject({ state: 'approved' });
});

it('a wait ends at once, with the state as it is, when the process is about to end', async () => {
  const stepUpId = await scene.ask('write_file', { path: 'c.md', content: 'x' });
  const startedAt = performance.now();
  const waiting = fetch(`${origin}${GUARD_API.wait(stepUpId)}?seconds=25`);
  setTimeout(() => draining.abort(), 300);
  const answer = await waiting;
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ state: 'open' });
  expect(performance.now() - startedAt).toBeLessThan(12_000);
});
