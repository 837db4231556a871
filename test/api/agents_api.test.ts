import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import Koa from 'koa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { approveAgent } from '../../src/agents/approve.ts';
import { approvePeer } from '../../src/agents/peers.ts';
import { findAgent } from '../../src/agents/registry.ts';
import { flushAgentUses, recordAgentUse } from '../../src/agents/uses.ts';
import { addAgentRoutes } from '../../src/api/agent_routes.ts';
import type { ApiTokenScope } from '../../src/model/api_token.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { makeApiToken, revokeApiToken } from '../../src/people/api_tokens.ts';
import type { Store } from '../../src/store/store.ts';
import type { RefusalCode } from '../../src/wire/refusals.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { type Answer, answerOf } from './raw_guard.ts';
import { expectRefused } from './unchanged.ts';

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let http: Server;
let origin: string;
let token: string;
let readToken: string;
let deputy: SignedIn;

beforeAll(async () => {
  database = await createTestDatabase();
  http = createServer();
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  store = createTestStore(database, { issuer: origin });
  scene = await Scenario.create(store);
  const router = new Router();
  addAgentRoutes(router, store);
  http.on('request', new Koa().use(router.routes()).callback());
  token = await makeToken(['agents:read', 'agents:write']);
  readToken = await makeToken(['agents:read']);
  deputy = await scene.addPerson('Dora', false);
});
afterAll(async () => {
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
  await database.drop();
});

async function makeToken(scopes: readonly ApiTokenScope[]): Promise<string> {
  const by = { kind: 'person', id: scene.requester.person.id } as const;
  const made = await makeApiToken(store, { name: 'pipeline', scopes, seconds: 600, by });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.token;
}

async function ask(method: string, path: string, body?: unknown, bearer: string | null = token): Promise<Answer> {
  return answerOf(
    await fetch(`${origin}/api/v1/agents${path}`, {
      method,
      headers: {
        ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );
}

const newKey = async (): Promise<JWK> => exportJWK((await generateKeyPair('ES256')).publicKey);

async function proposal(changes: Record<string, unknown> = {}) {
  return {
    name: 'Billing',
    purpose: 'Sends invoices',
    owner: scene.requester.person.id,
    deputy: deputy.person.id,
    keys: [await newKey()],
    terms: { bound: { [scene.server.id]: ['read_file', 'write_file'] }, delegation_depth_max: 1 },
    ...changes,
  };
}

async function propose(changes: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await ask('POST', '', await proposal(changes));
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body.id;
}

let id: string;
beforeEach(async () => {
  id = await propose();
  const approved = await approveAgent(store, { agentId: id, by: scene.administrator.person.id });
  if (!approved.ok) throw new Error(approved.refusal.message);
});

const refusedWith = (code: RefusalCode, method: string, path: string, body?: unknown, bearer?: string | null) =>
  expectRefused(store, code, () => ask(method, path, body, bearer === undefined ? token : bearer));

describe('whoever asks', () => {
  test('needs a live API token with the right scope', async () => {
    await refusedWith('token_missing', 'GET', '', undefined, null);
    await refusedWith('token_invalid', 'GET', '', undefined, 'cst_wrong');
    await refusedWith('not_allowed', 'POST', `/${id}/suspend`, { reason: '' }, readToken);
    await refusedWith('not_allowed', 'GET', `/${id}`, undefined, await makeToken(['scim']));
    const by = { kind: 'person', id: scene.requester.person.id } as const;
    const made = await makeApiToken(store, { name: 'x', scopes: ['agents:read'], seconds: 60, by });
    if (!made.ok) throw new Error(made.refusal.message);
    expect((await ask('GET', '', undefined, made.value.token)).status).toBe(200);
    await revokeApiToken(store, { id: made.value.id, by });
    await refusedWith('token_invalid', 'GET', '', undefined, made.value.token);
  });

  test('approves nothing: every way to it answers with the page where a person does', async () => {
    const pending = await propose();
    for (const [method, path] of [
      ['POST', `/${pending}/approve`],
      ['POST', `/${id}/pending-change/approve`],
      ['POST', `/${id}/review`],
      ['PUT', `/${id}/peers/to/${pending}`],
    ] as const) {
      const { body } = await refusedWith('not_allowed', method, path);
      expect(body.detail.console_url).toMatch(/\/agents\/agt_/);
    }
    await refusedWith('not_found', 'POST', '/agt_x/approve');
  });
});

describe('a proposal', () => {
  test('is pending, says everything, and belongs to who made the token', async () => {
    const key = await newKey();
    const { status, body } = await ask('POST', '', await proposal({ keys: [key], terms: { trust_zone: 'finance' } }));
    expect(status).toBe(201);
    expect(body).toMatchObject({
      state: 'pending',
      owner: scene.requester.person.id,
      deputy: deputy.person.id,
      proposed_by: scene.requester.person.id,
      terms: { trust_zone: 'finance', bound: null, delegation_depth_max: 0 },
      console_url: `${origin}/agents/${body.id}`,
    });
    const shown = await ask('GET', `/${body.id}`, undefined, readToken);
    expect(shown.body.keys.listed).toHaveLength(1);
    expect(JSON.stringify(shown.body)).not.toContain(key.x);
  });

  test.each<[RegExp, string, Record<string, unknown>]>([
    [/no person/, 'an owner who does not exist', { owner: 'prs_x' }],
    [/Name a deputy/, 'no deputy', { deputy: null }],
    [/either "keys"/, 'no way to prove who it is', { keys: undefined }],
    [/either "keys"/, 'two ways', { jwks_uri: 'https://agent.example/keys' }],
    [/private key/, 'a private key', { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'd' }] }],
    [/terms/, 'a term nobody knows', { terms: { may_do_anything: true } }],
    [/terms/, 'a chain longer than any', { terms: { delegation_depth_max: 99 } }],
    [/no tool "nothing"/, 'a tool nobody lists', { terms: { bound: { SERVER: ['nothing'] } } }],
    [/Unrecognized|state/, 'a state of its own', { state: 'active' }],
  ])('is refused with %s: %s', async (words, _what, changes) => {
    const body = JSON.parse(JSON.stringify(await proposal(changes)).replace('SERVER', scene.server.id));
    const answer = await refusedWith('request_invalid', 'POST', '', body);
    expect(answer.body.error_description).toMatch(words);
  });

  test('is taken back, and cannot be approved then', async () => {
    const pending = await propose();
    expect((await ask('POST', `/${pending}/withdraw`, { reason: 'Not needed' })).body).toMatchObject({
      state: 'offboarded',
      state_reason: 'Not needed',
    });
    expect(await approveAgent(store, { agentId: pending, by: scene.administrator.person.id })).toMatchObject({
      ok: false,
    });
  });

  test('by jwks_uri or for a workload is taken too', async () => {
    const published = await propose({ keys: undefined, jwks_uri: 'https://agent.example/keys' });
    const { body } = await ask('GET', `/${published}`);
    expect(body.keys).toEqual({ jwks_uri: 'https://agent.example/keys', listed: [] });
    await propose({ keys: undefined, workload_only: true });
  });
});

describe('an agent', () => {
  test('is listed by state and owner, page by page, each once', async () => {
    const seen: string[] = [];
    for (let after = ''; ; ) {
      const { body } = await ask('GET', `?limit=2${after === '' ? '' : `&after=${after}`}`);
      seen.push(...body.agents.map((agent: { id: string }) => agent.id));
      if (body.next === null) break;
      after = body.next;
    }
    const { count } = await database.db
      .selectFrom('agents')
      .select(database.db.fn.countAll<string>().as('count'))
      .executeTakeFirstOrThrow();
    expect(new Set(seen).size).toBe(Number(count));
    expect(seen).toHaveLength(Number(count));
    const pending = await ask('GET', `?state=pending&owner=${scene.requester.person.id}`);
    expect(pending.body.agents.every((agent: { state: string }) => agent.state === 'pending')).toBe(true);
    await refusedWith('request_invalid', 'GET', '?state=lost');
    await refusedWith('request_invalid', 'GET', '?limit=0');
    await refusedWith('not_found', 'GET', '/agt_x');
  });

  test('loses at once and gains later', async () => {
    const terms = { bound: { [scene.server.id]: ['read_file'] }, delegation_depth_max: 3 };
    const { body } = await ask('PATCH', `/${id}`, { terms });
    expect(body).toMatchObject({
      changed: ['bound'],
      waiting: ['delegation_depth_max'],
      terms: { bound: terms.bound, delegation_depth_max: 1 },
      pending_change: { terms: { delegation_depth_max: 3 }, by_kind: 'api_token', person: scene.requester.person.id },
    });
    await refusedWith('conflict', 'PATCH', `/${id}`, { terms: { trust_zone: 'x' } });
    await refusedWith('page_outdated', 'DELETE', `/${id}/pending-change?change=other`);
    const dropped = await ask('DELETE', `/${id}/pending-change?change=${body.pending_change.id}`);
    expect(dropped.body).toMatchObject({ pending_change: null, terms: { delegation_depth_max: 1 } });
  });

  test('is suspended, resumed with keys that are in time, and offboarded for good', async () => {
    expect((await ask('POST', `/${id}/suspend`, { reason: 'Odd calls' })).body).toMatchObject({
      state: 'suspended',
      state_reason: 'Odd calls',
      ended: { tasks: 0 },
    });
    const long = new Date(Date.now() - 100 * 86_400_000);
    const old = { key_days: 90, key_changed_at: long };
    await database.db.updateTable('agents').set(old).where('id', '=', id).execute();
    const overdue = await refusedWith('conflict', 'POST', `/${id}/resume`);
    expect(overdue.body.error_description).toContain('Replace its keys');
    expect((await ask('PUT', `/${id}/keys`, { keys: [await newKey()] })).status).toBe(200);
    expect((await ask('POST', `/${id}/resume`)).body.state).toBe('active');
    expect((await ask('POST', `/${id}/offboard`, { reason: '' })).body.state).toBe('offboarded');
    await refusedWith('conflict', 'POST', `/${id}/resume`);
    await refusedWith('conflict', 'PUT', `/${id}/keys`, { keys: [await newKey()] });
    await refusedWith('conflict', 'POST', `/${id}/transfer`, { owner: deputy.person.id });
  });

  test('is handed over to active people', async () => {
    await refusedWith('request_invalid', 'POST', `/${id}/transfer`, {});
    await refusedWith('request_invalid', 'POST', `/${id}/transfer`, { owner: deputy.person.id });
    const next = await scene.addPerson('Nina', false);
    const { body } = await ask('POST', `/${id}/transfer`, { owner: next.person.id });
    expect(body).toMatchObject({ owner: next.person.id, deputy: deputy.person.id });
  });

  test('says what it was given and used, and which peers it has', async () => {
    recordAgentUse(store, { agentIds: [id], toolServerId: scene.server.id, toolName: 'read_file' });
    await flushAgentUses(store);
    const { body } = await ask('GET', `/${id}/review`);
    expect(body).toMatchObject({
      is_bounded: true,
      tools: [
        { tool: 'read_file', last_used_at: expect.any(String), is_listed: true },
        { tool: 'write_file', last_used_at: null },
      ],
    });
    const other = await propose();
    await approveAgent(store, { agentId: other, by: scene.administrator.person.id });
    const by = scene.administrator.person.id;
    expect(await approvePeer(store, { agentId: id, direction: 'to', peerId: other, by })).toMatchObject({ ok: true });
    const peers = await ask('GET', `/${id}/peers`);
    expect(peers.body.peers).toMatchObject([{ direction: 'to', peer: other, is_mutual: false }]);
    await refusedWith('not_found', 'DELETE', `/${id}/peers/from/${other}`);
    await refusedWith('request_invalid', 'DELETE', `/${id}/peers/beside/${other}`);
    expect((await ask('DELETE', `/${id}/peers/to/${other}`)).body.peers).toEqual([]);
  });

  test('asked for by many at once over HTTP: suspended once, and one change waits', async () => {
    const answers = await Promise.all([
      ...Array.from({ length: 20 }, () => ask('POST', `/${id}/suspend`, { reason: 'Stop' })),
      ...Array.from({ length: 20 }, (_, at) => ask('PATCH', `/${id}`, { terms: { trust_zone: `z${at}` } })),
    ]);
    expect(answers.slice(0, 20).map((one) => one.status)).toEqual(Array(20).fill(200));
    expect(answers.slice(20).filter((one) => one.status === 200)).toHaveLength(1);
    expect(answers.slice(20).filter((one) => one.status === 409)).toHaveLength(19);
    const suspended = (await scene.events('agent.suspended')).filter(
      (event) => (event.ids as { agent: string }).agent === id,
    );
    expect(suspended).toHaveLength(1);
    expect((await findAgent(store, id))!.pending_change).not.toBeNull();
  });
});
