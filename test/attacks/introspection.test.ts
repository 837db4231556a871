import { type CryptoKey, generateKeyPair, importJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadProviderKeys } from '../support/keys.ts';
import type { OAuthBrowser } from '../support/oauth_browser.ts';
import { newPkce } from '../support/oauth_browser.ts';
import { authorize, clientAssertion, obtainTokens, postForm, redeemCode, refresh } from '../support/oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  addToolServer,
  type OAuthServer,
  signedInBrowser,
  startOAuthServer,
  type TestToolServer,
  testClient,
} from '../support/oauth_server.ts';

let server: OAuthServer;
let toolServer: TestToolServer;
let otherServer: TestToolServer;
let browser: OAuthBrowser;
let personId: string;

beforeAll(async () => {
  server = await startOAuthServer({ clients: [testClient('cli'), testClient('other')] });
  toolServer = await addToolServer(server.store);
  otherServer = await addToolServer(server.store);
  personId = await addPerson(server.store);
  browser = await signedInBrowser(server, personId);
});
afterAll(() => server.close());

const introspect = async (token: string, as: { clientId: string; key: TestToolServer['key'] }) =>
  postForm(server, '/introspect', { token, ...(await clientAssertion(server, as.clientId, as.key)) });
const introspectAs = (token: string, clientId: string) =>
  postForm(server, '/introspect', { token, client_id: clientId });

test('T52: the guard of the audience and the token’s own client learn what a token is', async () => {
  const { accessToken, claims } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const answer = await introspect(accessToken, toolServer);
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({
    active: true,
    sub: personId,
    aud: toolServer.resource,
    client_id: 'cli',
    token_type: 'Bearer',
    task: claims.task,
  });
  expect(answer.headers.get('cache-control')).toContain('no-store');
  expect((await introspectAs(accessToken, 'cli')).body).toMatchObject({ active: true, jti: claims.jti });
});

test('T52: everybody else learns only {"active":false}: another guard, another client, an agent', async () => {
  const { accessToken, refreshToken } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const agent = await addServiceAgent(server.store, personId);
  for (const token of [accessToken, refreshToken]) {
    expect((await introspect(token, otherServer)).body).toEqual({ active: false });
    expect((await introspect(token, agent)).body).toEqual({ active: false });
    expect((await introspectAs(token, 'other')).body).toEqual({ active: false });
  }
  expect((await introspect(refreshToken, toolServer)).body).toEqual({ active: false });
  expect((await introspectAs(refreshToken, 'cli')).body).toMatchObject({ active: true });
});

test('T52: a guard that was suspended learns nothing', async () => {
  const { accessToken } = await obtainTokens(server, browser, { resource: otherServer.resource });
  const set = (state: 'active' | 'suspended') =>
    server.store.db.updateTable('tool_servers').set({ state }).where('id', '=', otherServer.id).execute();
  await set('suspended');
  expect((await introspect(accessToken, otherServer)).body).toEqual({ active: false });
  await set('active');
});

test('T52: without authentication there is no answer at all', async () => {
  const { accessToken } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const guard = await postForm(server, '/introspect', { token: accessToken, client_id: toolServer.clientId });
  expect(guard.status).toBe(401);
  const nobody = await postForm(server, '/introspect', { token: accessToken });
  expect(nobody.status).toBe(400);
});

test('T52: a token is inactive as soon as its task has ended, also for its own guard', async () => {
  const { accessToken, refreshToken, claims } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const { id } = claims.task as { id: string };
  await server.store.db.updateTable('tasks').set({ state: 'completed' }).where('id', '=', id).execute();
  expect((await introspect(accessToken, toolServer)).body).toEqual({ active: false });
  expect((await introspectAs(refreshToken, 'cli')).body).toEqual({ active: false });
});

test('T53: what has a wrong issuer, type, key or algorithm, or has expired, is not a token of ours', async () => {
  const { claims } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const [own] = (await loadProviderKeys(server.store)).tokenKeys.keys;
  const stranger = (await generateKeyPair('ES256')).privateKey;
  const key = (await importJWK(own!, 'ES256')) as CryptoKey;
  const now = Math.floor(Date.now() / 1000);
  const sign = (changes: Record<string, unknown>, header: Record<string, unknown> = {}, by: CryptoKey = key) =>
    new SignJWT({ ...claims, ...changes })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: own!.kid!, ...header })
      .sign(by);
  expect((await introspect(await sign({}), toolServer)).body).toMatchObject({ active: true });
  const forgeries = {
    issuer: await sign({ iss: 'https://evil.example' }),
    audience: await sign({ aud: otherServer.resource, client_id: 'nobody' }),
    audiences: await sign({ aud: [toolServer.resource, otherServer.resource], client_id: 'nobody' }),
    type: await sign({}, { typ: 'JWT' }),
    noType: await sign({}, { typ: undefined }),
    key: await sign({}, {}, stranger),
    expired: await sign({ exp: now - 1 }),
    future: await sign({ nbf: now + 60 }),
    task: await sign({ task: { id: 'tsk_unknown', root: 'tsk_unknown' } }),
    unsigned: `${btoa('{"alg":"none","typ":"at+jwt"}').replaceAll('=', '')}.${(await sign({})).split('.')[1]}.`,
  };
  for (const [what, token] of Object.entries(forgeries)) {
    expect((await introspect(token, toolServer)).body, what).toEqual({ active: false });
  }
});

test('T53: an ID token is not an access token', async () => {
  const pkce = newPkce();
  const left = await authorize(server, browser, { resource: toolServer.resource, scope: 'openid', pkce });
  const tokens = await redeemCode(server, left.searchParams.get('code')!, pkce);
  const idToken = (tokens.body as { id_token?: string }).id_token!;
  expect(idToken).toMatch(/^ey/);
  expect((await introspect(idToken, toolServer)).body).toEqual({ active: false });
  expect((await introspectAs(idToken, 'cli')).body).toEqual({ active: false });
});

test('T56: revoking another client’s token changes nothing and says nothing', async () => {
  const { accessToken, refreshToken } = await obtainTokens(server, browser, { resource: toolServer.resource });
  for (const token of [accessToken, refreshToken]) {
    const answer = await postForm(server, '/revoke', { token, client_id: 'other' });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({});
  }
  const byGuard = await postForm(server, '/revoke', {
    token: accessToken,
    ...(await clientAssertion(server, toolServer.clientId, toolServer.key)),
  });
  expect(byGuard.status).toBe(200);
  expect((await introspect(accessToken, toolServer)).body).toMatchObject({ active: true });
  expect((await refresh(server, refreshToken)).status).toBe(200);
});

test('T56: an unknown token is 200, and so is an unreadable one', async () => {
  for (const token of ['unknown', 'a.b.c', `${btoa('{"alg":"ES256"}')}.e30.x`]) {
    const answer = await postForm(server, '/revoke', { token, client_id: 'cli' });
    expect(answer.status, token).toBe(200);
  }
});

test('T56: a client revokes its own access token: it is inactive at once, and nothing else is', async () => {
  const { accessToken, refreshToken, claims } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const revoke = () => postForm(server, '/revoke', { token: accessToken, client_id: 'cli' });
  expect((await revoke()).status).toBe(200);
  expect((await revoke()).status).toBe(200);
  expect((await introspect(accessToken, toolServer)).body).toEqual({ active: false });
  const row = await server.store.db
    .selectFrom('revoked_tokens')
    .selectAll()
    .where('jti', '=', String(claims.jti))
    .executeTakeFirstOrThrow();
  expect(Math.floor(row.expires_at.getTime() / 1000)).toBe(claims.exp);
  expect((await refresh(server, refreshToken)).status).toBe(200);
});

test('T56: a client that gives up its refresh token ends its task and with it every access token', async () => {
  const { accessToken, refreshToken, claims } = await obtainTokens(server, browser, { resource: toolServer.resource });
  expect((await postForm(server, '/revoke', { token: refreshToken, client_id: 'cli' })).status).toBe(200);
  expect((await refresh(server, refreshToken)).body.error).toBe('invalid_grant');
  expect((await introspect(accessToken, toolServer)).body).toEqual({ active: false });
  const { id } = claims.task as { id: string };
  const task = await server.store.db.selectFrom('tasks').select('state').where('id', '=', id).executeTakeFirstOrThrow();
  expect(task.state).toBe('cancelled');
});
