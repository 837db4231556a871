import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import { decodeJwt, jwtVerify } from 'jose';
import Koa from 'koa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addStatusListRoutes } from '../../src/api/status_list_routes.ts';
import type { ProviderKeys } from '../../src/provider/keys.ts';
import { startPruning } from '../../src/server/prune.ts';
import { offboardAgent } from '../../src/tasks/revoke/offboard_agent.ts';
import { resumeAgent } from '../../src/tasks/revoke/resume_agent.ts';
import { revokeDelegation } from '../../src/tasks/revoke/revoke_delegation.ts';
import { suspendAgent } from '../../src/tasks/revoke/suspend_agent.ts';
import { isInvalid, type StatusListClaim, type StatusReference } from '../../src/wire/token_status_list_17.ts';
import { addRow, exchange, type Row, taskToken, tokenOf } from '../support/hops.ts';
import { loadProviderKeys } from '../support/keys.ts';
import { clientAssertion, postForm } from '../support/oauth_flow.ts';
import { type OAuthServer, startOAuthServer } from '../support/oauth_server.ts';

const by = { kind: 'server', id: 'server' } as const;

let server: OAuthServer;
let keys: ProviderKeys;
let row: Row;

beforeAll(async () => {
  server = await startOAuthServer({ rules: { tokenStatusLists: true } });
  keys = await loadProviderKeys(server.store);
  row = await addRow(server, 3);
});
afterAll(() => server.close());

const agent = (index: number) => row.agents[index]!;
const desk = (index: number) => row.desks[index]!;

/** A process that has made no list yet. */
async function withLists<Value>(
  use: (get: (number: string) => Promise<Response>) => Promise<Value>,
  store = server.store,
): Promise<Value> {
  const router = new Router();
  addStatusListRoutes(router, { store, signer: () => keys.tokenKeys.keys[0]! });
  const http = createServer(new Koa().use(router.routes()).callback());
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  try {
    return await use((number) => fetch(`http://127.0.0.1:${port}/token-statuses/${number}`));
  } finally {
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  }
}

/** As a verifier does it: reads the claim of the token, fetches the list, verifies it, looks at the place. */
async function isRevoked(token: string): Promise<boolean | null> {
  const { idx, uri } = (decodeJwt(token) as unknown as { status: StatusReference }).status.status_list;
  expect(uri.startsWith(`${server.issuer}/token-statuses/`)).toBe(true);
  const text = await withLists(async (get) => (await get(uri.split('/').at(-1)!)).text());
  const { payload } = await jwtVerify(text, keys.findTokenKey, { typ: 'statuslist+jwt', subject: uri });
  return isInvalid(payload.status_list as StatusListClaim, idx);
}

async function hop(): Promise<{ from: string; token: string }> {
  const from = await taskToken(server, agent(0), { taskId: row.taskId, resource: desk(1).resource });
  return { from, token: tokenOf(await exchange(server, agent(1), { subject: from, resource: desk(2).resource })) };
}

test('a token that was revoked by itself is invalid in it, and the others are not', async () => {
  const [one, other] = [await hop(), await hop()];
  expect(await Promise.all([one.from, one.token, other.token].map(isRevoked))).toEqual([false, false, false]);
  const assertion = await clientAssertion(server, agent(1).clientId, agent(1).key);
  await postForm(server, '/revoke', { token: one.token, ...assertion });
  expect(await Promise.all([one.from, one.token, other.token].map(isRevoked))).toEqual([false, true, false]);
});

test('the tokens of a delegation that was revoked are', async () => {
  const { from, token } = await hop();
  const { task } = decodeJwt(token) as { task: { delegation: string } };
  await revokeDelegation(server.store, { delegationId: task.delegation, by, reason: '' });
  expect([await isRevoked(from), await isRevoked(token)]).toEqual([false, true]);
});

test('those of before a suspension are, also when it is over, and of agents below', async () => {
  const { from, token } = await hop();
  await suspendAgent(server.store, { agentId: agent(0).id, by, reason: '' });
  expect([await isRevoked(from), await isRevoked(token)]).toEqual([true, true]);
  await resumeAgent(server.store, { agentId: agent(0).id, by, reason: '' });
  expect([await isRevoked(from), await isRevoked(token)]).toEqual([true, true]);
  const after = await taskToken(server, agent(0), { taskId: row.taskId, resource: desk(1).resource });
  expect(await isRevoked(after)).toBe(false);
  // Exchange takes nothing that was issued so shortly after.
  await server.store.db.updateTable('agents').set({ suspended_at: null }).where('id', '=', agent(0).id).execute();
});

test('the list is signed, says when to ask again, and is made once in a while', async () => {
  await hop();
  await withLists(async (get) => {
    const first = await get('1');
    expect(first.headers.get('content-type')).toContain('application/statuslist+jwt');
    expect(first.headers.get('access-control-allow-origin')).toBe('*');
    expect(first.headers.get('cache-control')).toContain('max-age=10');
    const text = await first.text();
    expect(decodeJwt(text)).toMatchObject({
      sub: `${server.issuer}/token-statuses/1`,
      ttl: 10,
      exp: expect.any(Number),
    });
    expect(await (await get('1')).text()).toBe(text);
    for (const unknown of ['0', '2', '9999999999', '01', 'x', '-1']) {
      expect((await get(unknown)).status, unknown).toBe(404);
    }
  });
});

test('without it in the configuration no token names a list, and there is none', async () => {
  const plain = await startOAuthServer();
  try {
    const { taskId, agents, desks } = await addRow(plain, 2);
    const token = await taskToken(plain, agents[0]!, { taskId, resource: desks[1]!.resource });
    expect(decodeJwt(token)).not.toHaveProperty('status');
    await withLists(async (get) => expect((await get('1')).status).toBe(404), plain.store);
  } finally {
    await plain.close();
  }
});

test('what ended is forgotten', async () => {
  const count = async () => (await server.store.db.selectFrom('token_statuses').select('jti').execute()).length;
  await hop();
  const before = await count();
  await server.store.db
    .updateTable('token_statuses')
    .set({ expires_at: new Date(Date.now() - 1_000) })
    .where('status_index', '=', 0)
    .execute();
  const pruning = startPruning(server.store, { prune: async () => 0 }, { audit_days: null, step_ups_days: null });
  await pruning.prune();
  await pruning.stop();
  expect(await count()).toBe(before - 1);
});

test('the tokens of all behind an agent that was offboarded are invalid', async () => {
  const { from, token } = await hop();
  await offboardAgent(server.store, { agentId: agent(0).id, by, reason: '' });
  expect([await isRevoked(from), await isRevoked(token)]).toEqual([true, true]);
});
