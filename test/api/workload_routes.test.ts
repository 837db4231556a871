import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import Koa from 'koa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addWorkloadRoutes } from '../../src/api/workload_routes.ts';
import type { ApiTokenScope } from '../../src/model/api_token.ts';
import { makeApiToken } from '../../src/people/api_tokens.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addServiceAgent, type TestAgent } from '../support/oauth_server.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { type Answer, answerOf } from './raw_guard.ts';

const PLATFORM = {
  kind: 'oidc',
  issuer: 'https://ci.example',
  jwksUri: null,
  format: 'jwks',
  audience: 'countersign',
  uses: 'once',
  secondsMax: 3_600,
} as const;
const SUBJECT = 'repo:acme/shop:environment:*';

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let http: Server;
let origin: string;
let agent: TestAgent;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  scene = await Scenario.create(store);
  agent = await addServiceAgent(store, scene.requester.person.id);
  const router = new Router();
  addWorkloadRoutes(router, { store, platforms: [PLATFORM] });
  http = createServer(new Koa().use(router.routes()).callback());
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
});
afterAll(async () => {
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
  await database.drop();
});

async function tokenFor(scopes: readonly ApiTokenScope[]): Promise<string> {
  const by = { kind: 'person', id: scene.administrator.person.id } as const;
  const made = await makeApiToken(store, { name: 'pipeline', scopes, seconds: 600, by });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.token;
}

async function ask(method: string, path: string, token: string, body?: unknown): Promise<Answer> {
  return answerOf(
    await fetch(`${origin}/api/v1/agents/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );
}

test('a machine adds a workload, lists it and takes it away', async () => {
  const token = await tokenFor(['agents:read', 'agents:write']);
  const path = `${agent.id}/workloads`;
  const added = await ask('POST', path, token, { issuer: PLATFORM.issuer, subject: SUBJECT, claims: { ref: 'main' } });
  expect(added.status).toBe(201);
  expect(added.body).toMatchObject({ audience: 'countersign', subject: SUBJECT, claims: { ref: 'main' } });
  const id = added.body.workload_id as string;
  expect((await ask('GET', path, token)).body.workloads).toEqual([added.body]);
  expect((await ask('DELETE', `${path}/${id}`, token)).body).toEqual({ workload_id: id });
  expect((await ask('DELETE', `${path}/${id}`, token)).status).toBe(404);
  expect((await ask('GET', path, token)).body.workloads).toEqual([]);
});

test('what is too wide, unknown or not understood is refused, and so is whoever may only read', async () => {
  const token = await tokenFor(['agents:read', 'agents:write']);
  const path = `${agent.id}/workloads`;
  const base = { issuer: PLATFORM.issuer, subject: SUBJECT };
  for (const body of [
    { ...base, subject: '*' },
    { ...base, issuer: 'https://evil.example' },
    { ...base, audience: 'other' },
    { ...base, claims: { ref: 7 } },
  ]) {
    expect((await ask('POST', path, token, body)).status, JSON.stringify(body)).toBe(400);
  }
  expect((await ask('POST', 'agt_none/workloads', token, base)).status).toBe(404);
  expect((await ask('GET', 'agt_none/workloads', token)).status).toBe(404);
  const reader = await tokenFor(['agents:read']);
  expect((await ask('POST', path, reader, base)).status).toBe(403);
  expect((await ask('GET', path, 'cst_wrong')).status).toBe(401);
});
