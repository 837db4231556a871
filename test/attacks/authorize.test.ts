import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { NO_FEDERATION } from '../../src/model/federation.ts';
import { createOAuthProvider } from '../../src/provider/create_provider.ts';
import { newPkce, type OAuthBrowser } from '../support/oauth_browser.ts';
import {
  authorize,
  authorizeAddress,
  codeFields,
  consentFields,
  obtainTokens,
  openConsent,
  postForm,
  redeemCode,
} from '../support/oauth_flow.ts';
import {
  addPerson,
  addToolServer,
  jsonPages,
  type OAuthServer,
  REDIRECT_URI,
  signedInBrowser,
  startOAuthServer,
  type TestToolServer,
  testClient,
} from '../support/oauth_server.ts';

let server: OAuthServer;
let toolServer: TestToolServer;
let browser: OAuthBrowser;

beforeAll(async () => {
  server = await startOAuthServer({
    clients: [
      testClient('cli'),
      testClient('web', { application_type: 'web', redirect_uris: ['https://app.example/callback'] }),
    ],
    config: { dynamicRegistration: true },
  });
  toolServer = await addToolServer(server.store);
  browser = await signedInBrowser(server, await addPerson(server.store));
});
afterAll(() => server.close());

const ask = (changes: Record<string, string | null>, clientId = 'cli') =>
  browser.get(authorizeAddress(server, { resource: toolServer.resource, clientId, changes }));

/** A page of ours, nothing sent anywhere. */
async function expectLocalError(response: Response): Promise<void> {
  expect(response.status).toBe(400);
  expect(response.headers.get('location')).toBeNull();
  expect(response.headers.get('content-type')).toContain('text/html');
  expect(await response.json()).toMatchObject({ page: 'error' });
}

/** The error the client is sent, at its own registered address. */
async function sentError(response: Response): Promise<URLSearchParams> {
  const location = new URL(response.headers.get('location')!);
  expect(`${location.origin}${location.pathname}`).toBe(REDIRECT_URI);
  return location.searchParams;
}

test.each([
  'https://evil.example/callback',
  'https://app.example/callback/more',
  'https://app.example/callback/..',
  'https://app.example/%2e%2e/callback',
  'https://app.example/call%62ack',
  'https://user@app.example/callback',
  'https://app.example@evil.example/callback',
  'https://app.example:8443/callback',
  'https://APP.example/callback',
  'https://app.example/Callback',
  'https://app.example/callback?x=1',
  'https://app.example/callback#x',
  'https://app.example\\@evil.example/callback',
])(
  'T1: the redirect address %s is not the registered one: local error, nothing is sent there',
  async (redirect_uri) => {
    await expectLocalError(await ask({ redirect_uri }, 'web'));
  },
);

test('T1: no redirect address, and an unknown client, are local errors too', async () => {
  await expectLocalError(await ask({ redirect_uri: null }));
  await expectLocalError(await ask({ client_id: 'nobody' }));
});

test.each(['redirect_uri', 'client_id'])('T2: %s given twice is a local error', async (name) => {
  const address = authorizeAddress(server, { resource: toolServer.resource });
  const values = { redirect_uri: ['https://evil.example/', REDIRECT_URI], client_id: ['web', 'cli'] }[name]!;
  for (const value of values) {
    await expectLocalError(await browser.get(`${address}&${name}=${encodeURIComponent(value)}`));
  }
});

test.each([
  'javascript:alert(1)',
  'data:text/html,x',
  'JaVa\tScript:alert(1)',
  'vbscript:x',
  'http://evil.example/cb',
  'https://u:p@app.example/',
])('T3: the redirect address %j cannot be registered', async (uri) => {
  for (const application_type of ['native', 'web']) {
    const response = await fetch(`${server.issuer}/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ client_name: 'x', redirect_uris: [uri], application_type }),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: 'invalid_redirect_uri' });
  }
});

test.each(['client_secret_basic', 'client_secret_post', 'client_secret_jwt'])(
  'T3: no client is registered with a shared secret (%s)',
  async (token_endpoint_auth_method) => {
    const response = await fetch(`${server.issuer}/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ client_name: 'x', redirect_uris: [REDIRECT_URI], token_endpoint_auth_method }),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: 'invalid_client_metadata' });
  },
);

test('a client that registers itself, where that is allowed, can be asked about and gets tokens', async () => {
  const response = await fetch(`${server.issuer}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'SDK', redirect_uris: [REDIRECT_URI], scope: 'mcp:tools files:write' }),
  });
  expect(response.status).toBe(201);
  const registered = (await response.json()) as { client_id: string };
  expect(registered).not.toHaveProperty('client_secret');
  const pkce = newPkce();
  const clientId = registered.client_id;
  const left = await authorize(server, browser, { resource: toolServer.resource, clientId, pkce });
  expect((await redeemCode(server, left.searchParams.get('code')!, pkce, clientId)).status).toBe(200);
});

test('T3: an issuer without TLS refuses to start, except on loopback', () => {
  const start = (issuer: string) =>
    createOAuthProvider({
      store: server.store,
      artifacts: {} as never,
      book: null as never,
      tokenKeys: { keys: [] },
      cookieKeys: ['k'],
      published: [],
      findTokenKey: () => Promise.reject(new Error('no token in this test')),
      config: {
        issuer,
        scopesSupported: [],
        cimd: { enabled: false, allowedDomains: [], allowedHosts: [] },
        dynamicRegistration: false,
        clients: [],
        federation: NO_FEDERATION,
      },
      keySets: {} as never,
      safeFetch: () => Promise.reject(new Error('unused')),
      pages: jsonPages,
    });
  for (const issuer of [
    'http://as.example',
    'javascript:alert(1)',
    'https://as.example/',
    'https://as.example?x',
    'ftp://as.example',
  ]) {
    expect(() => start(issuer), issuer).toThrow(/cannot be used/);
  }
  expect(parseConfig({ text: 'issuer: http://as.example' }).ok).toBe(false);
});

test('T4: a loopback redirect may use any port, and the page says where the answer goes; another path is refused', async () => {
  const other = 'http://127.0.0.1:61234/callback';
  const view = await openConsent(server, browser, { resource: toolServer.resource, changes: { redirect_uri: other } });
  expect(view.client).toMatchObject({ redirectHost: '127.0.0.1:61234', isLoopback: true });
  await expectLocalError(await ask({ redirect_uri: 'http://127.0.0.1:5555/other' }));
  await expectLocalError(await ask({ redirect_uri: 'http://127.0.0.2:5555/callback' }));
  await expectLocalError(await ask({ redirect_uri: 'https://127.0.0.1:5555/callback' }));
});

test('T4: a redirect to a web host is not called loopback', async () => {
  const view = await openConsent(server, browser, {
    resource: toolServer.resource,
    clientId: 'web',
    changes: { redirect_uri: 'https://app.example/callback' },
  });
  expect(view.client).toMatchObject({ redirectHost: 'app.example', isLoopback: false });
});

test.each([
  ['no challenge', { code_challenge: null, code_challenge_method: null }],
  ['the method plain', { code_challenge_method: 'plain' }],
  ['no method, which would mean plain', { code_challenge_method: null }],
  ['a method without a challenge', { code_challenge: null }],
  ['a challenge of 42 characters', { code_challenge: 'a'.repeat(42) }],
])('T5: an authorization request with %s is refused', async (_what, changes) => {
  const error = await sentError(await ask(changes));
  expect(error.get('error')).toBe('invalid_request');
  expect(error.has('code')).toBe(false);
});

test('T5: a verifier of 42 characters, a wrong one and none are refused, and the right one still works', async () => {
  const pkce = newPkce();
  const left = await authorize(server, browser, { resource: toolServer.resource, pkce });
  const code = left.searchParams.get('code')!;
  for (const code_verifier of ['a'.repeat(42), newPkce().verifier, '']) {
    const answer = await postForm(server, '/token', codeFields(code, pkce, 'cli', { code_verifier }));
    expect(answer.body.error, code_verifier).toMatch(/^invalid_(grant|request)$/);
  }
  expect((await redeemCode(server, code, pkce)).status).toBe(200);
});

test('T6: a code without a challenge is worth nothing, with a verifier or without', async () => {
  const { provider } = server.oauth;
  const client = (await provider.Client.find('cli'))!;
  // Everything else about the code is in order: its grant, its person and its running task.
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  const { grantId, accountId } = (await provider.RefreshToken.find(tokens.refreshToken))!;
  for (const code_verifier of [newPkce().verifier, '']) {
    const code = new provider.AuthorizationCode({
      accountId,
      client,
      grantId,
      redirectUri: REDIRECT_URI,
      resource: toolServer.resource,
      scope: 'mcp:tools',
    } as never);
    Object.assign(code, { expiresIn: 60 });
    const answer = await postForm(server, '/token', {
      ...codeFields(await code.save(), newPkce()),
      code_verifier,
    });
    expect(answer.body.error).toBe('invalid_grant');
  }
});

test('T7: success and error carry exactly one iss, ours', async () => {
  const success = await authorize(server, browser, { resource: toolServer.resource });
  const refused = await authorize(server, browser, { resource: toolServer.resource }, { decision: 'refuse' });
  const invalid = await sentError(await ask({ resource: 'http://localhost:1/unknown' }));
  for (const params of [success.searchParams, refused.searchParams, invalid]) {
    expect(params.getAll('iss')).toEqual([server.issuer]);
    expect(params.getAll('state')).toEqual(['st']);
  }
  expect(invalid.get('error')).toBe('invalid_target');
});

test('T8: after a form every redirect is 303, so that no browser posts it again', async () => {
  const view = await openConsent(server, browser, { resource: toolServer.resource });
  const posted = await browser.post(`${server.issuer}/interaction/${view.uid}/consent`, consentFields(view));
  expect(posted.status).toBe(303);
  const sent = await browser.get(posted.headers.get('location')!);
  expect(sent.status).toBe(303);
  const fresh = await signedInBrowser(server, await addPerson(server.store));
  const first = await fresh.get(authorizeAddress(server, { resource: toolServer.resource }));
  expect(first.status).toBe(303);
  const login = await fresh.get(first.headers.get('location')!);
  expect(login.status).toBe(303);
});

test('T9: response types and modes that put tokens into the browser are refused', async () => {
  for (const response_type of ['token', 'id_token', 'code id_token', 'code token', 'none']) {
    const location = new URL((await ask({ response_type })).headers.get('location')!);
    const params = new URLSearchParams(location.search || location.hash.slice(1));
    expect(params.get('error'), response_type).toBe('unsupported_response_type');
  }
  const mode = await sentError(await ask({ response_mode: 'web_message' }));
  expect(mode.get('error')).toMatch(/^(invalid_request|unsupported_response_mode)$/);
  expect(mode.has('code')).toBe(false);
});

test('T10: a trip begun in one browser cannot be answered, nor ended, in another', async () => {
  const attacker = await signedInBrowser(server, await addPerson(server.store, 'Mallory'));
  const view = await openConsent(server, attacker, { resource: toolServer.resource });
  const victim = await signedInBrowser(server, await addPerson(server.store, 'Victim'));
  const page = await victim.get(`${server.issuer}/interaction/${view.uid}`);
  expect(page.status).toBe(404);
  const posted = await victim.post(`${server.issuer}/interaction/${view.uid}/consent`, consentFields(view));
  expect(posted.status).toBe(404);

  // The attacker consents and sends the last address of their trip to the victim.
  const own = await attacker.post(`${server.issuer}/interaction/${view.uid}/consent`, consentFields(view));
  const ending = own.headers.get('location')!;
  const stolen = await victim.get(ending);
  expect(stolen.status).toBe(400);
  expect(stolen.headers.get('location')).toBeNull();
  // The trip is still the attacker's own.
  expect((await attacker.get(ending)).headers.get('location')).toContain('code=');
});

test('T10: a consent form from elsewhere, or without our token, starts nothing', async () => {
  const view = await openConsent(server, browser, { resource: toolServer.resource });
  const address = `${server.issuer}/interaction/${view.uid}/consent`;
  const before = await server.store.db.selectFrom('tasks').select('id').execute();
  const refusals = [
    await browser.post(address, consentFields(view), { origin: 'https://evil.example' }),
    await browser.post(address, consentFields(view), { origin: 'null' }),
    await browser.post(address, consentFields(view, { csrf: '' })),
    await browser.post(address, consentFields(view, { csrf: 'A'.repeat(43) })),
  ];
  expect(refusals.map((response) => response.status)).toEqual([403, 403, 403, 403]);
  const other = await openConsent(server, browser, { resource: toolServer.resource });
  expect((await browser.post(address, consentFields(view, { csrf: other.csrf }))).status).not.toBe(303);
  expect(await server.store.db.selectFrom('tasks').select('id').execute()).toHaveLength(before.length);
});

test('T10: a person cannot allow what the page did not offer', async () => {
  const view = await openConsent(server, browser, { resource: toolServer.resource });
  const address = `${server.issuer}/interaction/${view.uid}/consent`;
  for (const changes of [
    { 'tool:delete_all': 'yes' },
    { seconds: '9999999' },
    { purpose_code: 'secret' },
    { purpose: ' ' },
  ]) {
    const answer = await browser.post(address, consentFields(view, changes as unknown as Record<string, string>));
    expect([400, 409]).toContain(answer.status);
  }
});
