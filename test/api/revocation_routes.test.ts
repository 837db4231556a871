import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import Koa from 'koa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TokenVerifier } from '../../src/api/bearer.ts';
import { addMessageRoutes } from '../../src/api/message_routes.ts';
import { addRevocationRoutes } from '../../src/api/revocation_routes.ts';
import type { Channel } from '../../src/approvals/channel.ts';
import { startDelivery } from '../../src/approvals/deliver.ts';
import { openKeyring } from '../../src/keys/keyring.ts';
import { tokenVerificationKeys } from '../../src/keys/verification_keys.ts';
import type { ApiTokenScope } from '../../src/model/api_token.ts';
import { makeApiToken } from '../../src/people/api_tokens.ts';
import type { Store } from '../../src/store/store.ts';
import { offboardAgent } from '../../src/tasks/revoke/offboard_agent.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { Chains } from '../tasks/revoke/chains.ts';
import { type Answer, answerOf } from './raw_guard.ts';
import { expectRefused } from './unchanged.ts';

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let chains: Chains;
let http: Server;
let origin: string;
let token: string;
let readToken: string;

beforeAll(async () => {
  database = await createTestDatabase();
  http = createServer();
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  store = createTestStore(database, { issuer: origin, rules: { channels: ['webhook'] } });
  scene = await Scenario.create(store);
  chains = new Chains(store, scene);
  const keyring = await openKeyring(store);
  const tokens = new TokenVerifier(store, tokenVerificationKeys(keyring));
  await keyring.stop();
  const router = new Router();
  addRevocationRoutes(router, { store, tokens });
  addMessageRoutes(router, store);
  http.on('request', new Koa().use(router.routes()).callback());
  token = await makeToken(['tasks:write', 'scim', 'audit:read']);
  readToken = await makeToken(['tasks:read']);
});
afterAll(async () => {
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
  await store.ephemeral.close();
  await database.drop();
});

async function makeToken(scopes: readonly ApiTokenScope[]): Promise<string> {
  const by = { kind: 'person', id: scene.administrator.person.id } as const;
  const made = await makeApiToken(store, { name: 'machine', scopes, seconds: 600, by });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.token;
}

async function ask(method: string, path: string, body?: unknown, bearer: string | null = token): Promise<Answer> {
  return answerOf(
    await fetch(`${origin}/api/v1${path}`, {
      method,
      headers: {
        ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );
}

describe('a machine that administers', () => {
  test('takes back a delegation, and is told what ended, also when it asks again', async () => {
    const root = await chains.start(await chains.addAgent());
    const hop = (await chains.hand(root, await chains.addAgent()))!;
    const { status, body } = await ask('DELETE', `/delegations/${hop.delegationId}`);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { state: 'revoked', ended: { tasks: 0, delegations: 1, step_ups: 0, grants: 0 } },
    });
    expect(await chains.isLive(hop)).toBe(false);
    expect(await chains.isLive(root)).toBe(true);
    expect((await ask('DELETE', `/delegations/${hop.delegationId}`)).body.ended).toMatchObject({ delegations: 0 });
  });

  test('takes back a grant', async () => {
    const stepUp = await scene.ask('write_file', { path: 'grant' });
    await scene.decide(stepUp, scene.requester, 'approve');
    const grant = await store.db
      .selectFrom('grants')
      .select('id')
      .where('step_up_id', '=', stepUp)
      .executeTakeFirstOrThrow();
    expect((await ask('DELETE', `/grants/${grant.id}`)).body.ended).toMatchObject({ grants: 1 });
    expect(await scene.redeem('write_file', { path: 'grant' })).toMatchObject({ refusal: { code: 'grant_missing' } });
  });

  test('disables a person', async () => {
    const leaving = await scene.addPerson('Leaving', false);
    await chains.addAgent(leaving.person.id);
    const { status, body } = await ask('POST', `/people/${leaving.person.id}/disable`, { reason: 'Left.' });
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { state: 'disabled', ended: { agents_suspended: 1 } },
    });
  });

  test.each([
    ['DELETE', '/delegations/dlg_x', undefined],
    ['DELETE', '/grants/gra_x', undefined],
    ['POST', '/people/prs_x/disable', {}],
    ['GET', '/messages', undefined],
    ['POST', '/messages/msg_x/retry', undefined],
  ])('needs the scope for it: %s %s', async (method, path, body) => {
    await expectRefused(store, 'not_allowed', () => ask(method, path, body, readToken));
    const anonymous = await ask(method, path, body, null);
    expect(anonymous.status).toBe(401);
  });

  test.each([
    ['DELETE', '/delegations/dlg_x'],
    ['DELETE', '/grants/gra_x'],
    ['POST', '/messages/msg_x/retry'],
  ])('is told where there is nothing: %s %s', async (method, path) => {
    await expectRefused(store, 'not_found', () => ask(method, path));
  });
});

describe('messages that could not be delivered', () => {
  beforeEach(async () => {
    await store.db.deleteFrom('outbox').execute();
  });

  test('are listed with the reason, and go out again by the same id', async () => {
    const agentId = await chains.addAgent();
    await offboardAgent(store, { agentId, by: { kind: 'server', id: 'server' }, reason: '' });
    const ids: string[] = [];
    let isOpen = false;
    const channel: Channel = {
      name: 'webhook',
      send: async (message) => {
        ids.push(message.id);
        return isOpen ? { kind: 'sent' } : { kind: 'failed', reason: 'The receiver answered 410.' };
      },
    };
    const delivery = startDelivery(store, [channel], { pollMs: 40 });
    try {
      await expect.poll(async () => (await ask('GET', '/messages?state=failed')).body.messages, POLL).toHaveLength(1);
      const [failed] = (await ask('GET', '/messages')).body.messages as [{ message_id: string }];
      expect(failed).toMatchObject({
        kind: 'agent.offboarded',
        subject_id: agentId,
        state: 'failed',
        attempts: 1,
        last_error: 'The receiver answered 410.',
      });
      isOpen = true;
      const retried = await ask('POST', `/messages/${failed.message_id}/retry`);
      expect(retried.body).toEqual({ message_id: failed.message_id, state: 'waiting' });
      await expect.poll(async () => (await ask('GET', '/messages?state=sent')).body.messages, POLL).toHaveLength(1);
      expect(ids).toEqual([failed.message_id, failed.message_id]);
      await expectRefused(store, 'not_found', () => ask('POST', `/messages/${failed.message_id}/retry`));
    } finally {
      await delivery.stop();
    }
  });

  test.each(['/messages?state=lost', '/messages?before=yesterday'])('%s is refused', async (path) => {
    await expectRefused(store, 'request_invalid', () => ask('GET', path));
  });
});

const POLL = { timeout: 20_000, interval: 50 };
