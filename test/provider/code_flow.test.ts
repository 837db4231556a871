import { createLocalJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newPkce, OAuthBrowser } from '../support/oauth_browser.ts';
import {
  authorize,
  authorizeAddress,
  consentFields,
  obtainTokens,
  openConsent,
  redeemCode,
  refresh,
} from '../support/oauth_flow.ts';
import {
  addPerson,
  addToolServer,
  type OAuthServer,
  signedInBrowser,
  signIn,
  startOAuthServer,
  type TestToolServer,
} from '../support/oauth_server.ts';

let server: OAuthServer;
let toolServer: TestToolServer;
let personId: string;
let browser: OAuthBrowser;

beforeAll(async () => {
  server = await startOAuthServer();
  toolServer = await addToolServer(server.store);
  personId = await addPerson(server.store);
  browser = await signedInBrowser(server, personId);
});
afterAll(() => server.close());

test('an interactive client gets a token for its task: RFC 9068, ES256, one audience, its person and who acts', async () => {
  const { accessToken, claims, body } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const jwks = (await (await fetch(`${server.issuer}/jwks`)).json()) as { keys: [] };
  const verified = await jwtVerify(accessToken, createLocalJWKSet(jwks), { typ: 'at+jwt', algorithms: ['ES256'] });
  expect(verified.protectedHeader.alg).toBe('ES256');
  const task = await server.store.db
    .selectFrom('tasks')
    .selectAll()
    .where('requester_id', '=', personId)
    .executeTakeFirstOrThrow();
  expect(claims).toMatchObject({
    iss: server.issuer,
    aud: toolServer.resource,
    sub: personId,
    client_id: 'cli',
    scope: 'mcp:tools',
    task: { id: task.id, root: task.id },
    act: { sub: task.agent_id, client_id: 'cli' },
    authorization_details: [{ type: 'mcp_task', task_id: task.id }],
    amr: ['link'],
  });
  expect(claims.exp! - claims.iat!).toBe(300);
  expect(body).toMatchObject({ token_type: 'Bearer', scope: 'mcp:tools', expires_in: 300 });
  expect(task).toMatchObject({ purpose: 'Tidy my notes', tools: { [toolServer.id]: ['read_file', 'write_file'] } });
});

test('what the person narrows is what the task has', async () => {
  const pkce = newPkce();
  const view = await openConsent(server, browser, { resource: toolServer.resource, pkce });
  expect(view.tools.map((tool) => tool.name)).toEqual(['read_file', 'write_file']);
  expect(view.client).toMatchObject({ redirectHost: '127.0.0.1:5555', isLoopback: true, host: null });
  const answer = await browser.post(`${server.issuer}/interaction/${view.uid}/consent`, {
    csrf: view.csrf,
    decision: 'allow',
    purpose: 'Read only',
    purpose_code: 'general',
    seconds: '900',
    'tool:read_file': 'yes',
  });
  const { left } = await browser.follow(answer);
  const tokens = await redeemCode(server, left!.searchParams.get('code')!, pkce);
  expect(tokens.status).toBe(200);
  const task = await server.store.db
    .selectFrom('tasks')
    .selectAll()
    .where('purpose', '=', 'Read only')
    .executeTakeFirstOrThrow();
  expect(task.tools).toEqual({ [toolServer.id]: ['read_file'] });
  expect(Math.round((task.expires_at.getTime() - task.created_at.getTime()) / 1000)).toBe(900);
});

test('every trip asks: no earlier consent is reused, and each has a task of its own', async () => {
  const first = await obtainTokens(server, browser, { resource: toolServer.resource });
  const second = await obtainTokens(server, browser, { resource: toolServer.resource });
  expect((second.claims.task as { id: string }).id).not.toBe((first.claims.task as { id: string }).id);
});

test('a person who refuses sends the client access_denied with iss', async () => {
  const left = await authorize(server, browser, { resource: toolServer.resource }, { decision: 'refuse' });
  expect(left.searchParams.get('error')).toBe('access_denied');
  expect(left.searchParams.get('iss')).toBe(server.issuer);
  expect(left.searchParams.get('state')).toBe('st');
});

test('without a session the browser is sent to sign in and comes back', async () => {
  const stranger = new OAuthBrowser(server.issuer);
  const { response } = await stranger.follow(
    await stranger.get(authorizeAddress(server, { resource: toolServer.resource })),
  );
  expect(await response.json()).toMatchObject({
    page: 'sign_in',
    returnTo: expect.stringMatching(/^\/interaction\/[\w-]+$/),
  });
});

test('a code or refresh token whose task has ended gives nothing', async () => {
  const { refreshToken, claims } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const { id } = claims.task as { id: string };
  await server.store.db.updateTable('tasks').set({ state: 'cancelled' }).where('id', '=', id).execute();
  const answer = await refresh(server, refreshToken);
  expect(answer.body).toMatchObject({ error: 'invalid_grant', error_description: 'The task has ended.' });
});

test('a token never outlives its task', async () => {
  const { refreshToken, claims } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const { id } = claims.task as { id: string };
  await server.store.db
    .updateTable('tasks')
    .set({ expires_at: new Date(Date.now() + 40_000) })
    .where('id', '=', id)
    .execute();
  const answer = await refresh(server, refreshToken);
  expect(answer.status).toBe(200);
  expect(answer.body.expires_in).toBeLessThanOrEqual(40);
});

test('a disabled person’s refresh tokens stop working', async () => {
  const other = await addPerson(server.store, 'Bob');
  const { refreshToken } = await obtainTokens(server, await signedInBrowser(server, other), {
    resource: toolServer.resource,
  });
  await server.store.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', other).execute();
  expect((await refresh(server, refreshToken)).body.error).toBe('invalid_grant');
});

test('the resource is one, in any spelling', async () => {
  const spelled = toolServer.resource.replace('http://localhost', 'HTTP://LOCALHOST');
  const { claims, refreshToken } = await obtainTokens(server, browser, { resource: spelled });
  expect(claims.aud).toBe(toolServer.resource);
  const again = await refresh(server, refreshToken, 'cli', { resource: spelled });
  expect(again.status).toBe(200);
});

test('when another person signs in, the next trip is in their name', async () => {
  const other = await addPerson(server.store, 'Carol');
  const shared = await signedInBrowser(server, personId);
  await obtainTokens(server, shared, { resource: toolServer.resource });
  // The browser still has the engine's cookies of Ada's trip.
  await signIn(server, shared, other);
  const { claims } = await obtainTokens(server, shared, { resource: toolServer.resource });
  expect(claims.sub).toBe(other);
});

test('a page opened in one person’s name is not answered in another’s', async () => {
  const other = await addPerson(server.store, 'Dan');
  const shared = await signedInBrowser(server, personId);
  const view = await openConsent(server, shared, { resource: toolServer.resource });
  await signIn(server, shared, other);
  await shared.post(`${server.issuer}/interaction/${view.uid}/consent`, consentFields(view));
  const tasks = await server.store.db.selectFrom('tasks').select('id').where('requester_id', '=', other).execute();
  expect(tasks).toEqual([]);
});

test('a second click starts no second task', async () => {
  const other = await addPerson(server.store, 'Eve');
  const theirs = await signedInBrowser(server, other);
  const view = await openConsent(server, theirs, { resource: toolServer.resource });
  const address = `${server.issuer}/interaction/${view.uid}/consent`;
  await Promise.all([1, 2, 3].map(() => theirs.post(address, consentFields(view))));
  const tasks = await server.store.db.selectFrom('tasks').select('id').where('requester_id', '=', other).execute();
  expect(tasks).toHaveLength(1);
});

test('every token issued is in the audit log with its task', async () => {
  const { claims } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const events = await server.store.db.selectFrom('events').select('body').where('kind', '=', 'token.issued').execute();
  const mine = events.map(({ body }) => body).filter((body) => body.includes(String(claims.jti)));
  expect(mine).toHaveLength(1);
  expect(mine[0]).toContain((claims.task as { id: string }).id);
});
