import { afterAll, beforeAll, expect, test } from 'vitest';
import { type SafeFetch, SafeFetchError } from '../../src/kernel/safe_fetch.ts';
import { mayPublishClients } from '../../src/provider/cimd.ts';
import type { OAuthBrowser } from '../support/oauth_browser.ts';
import { authorizeAddress, obtainTokens, openConsent } from '../support/oauth_flow.ts';
import {
  addPerson,
  addToolServer,
  type OAuthServer,
  REDIRECT_URI,
  signedInBrowser,
  startOAuthServer,
  type TestToolServer,
} from '../support/oauth_server.ts';

const DOCUMENT = 'https://apps.example/client.json';
const documents = new Map<string, unknown>();
const fetched: string[] = [];

const safeFetch: SafeFetch = async (url) => {
  fetched.push(String(url));
  const found = documents.get(String(url));
  if (found === undefined) throw new SafeFetchError('address_refused');
  const body = Buffer.from(typeof found === 'string' ? found : JSON.stringify(found));
  return { status: 200, headers: { 'content-type': 'application/json' }, body };
};

let server: OAuthServer;
let toolServer: TestToolServer;
let browser: OAuthBrowser;

beforeAll(async () => {
  server = await startOAuthServer({
    safeFetch,
    config: { cimd: { enabled: true, allowedDomains: ['apps.example'], allowedHosts: ['localhost:8443'] } },
  });
  toolServer = await addToolServer(server.store);
  browser = await signedInBrowser(server, await addPerson(server.store));
  documents.set(DOCUMENT, clientDocument(DOCUMENT));
});
afterAll(() => server.close());

const clientDocument = (clientId: string, changes: Record<string, unknown> = {}) => ({
  client_id: clientId,
  client_name: 'Notes app',
  redirect_uris: [REDIRECT_URI],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
  scope: 'mcp:tools anything',
  ...changes,
});

test('a client is known by its document: the page names its host, and it gets and refreshes tokens', async () => {
  const view = await openConsent(server, browser, { resource: toolServer.resource, clientId: DOCUMENT });
  expect(view.client).toMatchObject({ id: DOCUMENT, name: 'Notes app', host: 'apps.example', isLoopback: true });
  const { claims, refreshToken } = await obtainTokens(server, browser, {
    resource: toolServer.resource,
    clientId: DOCUMENT,
  });
  expect(claims.client_id).toBe(DOCUMENT);
  expect(refreshToken).toBeDefined();
});

test('a document is fetched once for many requests', async () => {
  await obtainTokens(server, browser, { resource: toolServer.resource, clientId: DOCUMENT });
  expect(fetched.filter((url) => url === DOCUMENT)).toHaveLength(1);
});

test('T48: two people with the same client are two agents, and neither ends the other’s work', async () => {
  const other = await signedInBrowser(server, await addPerson(server.store, 'Bob'));
  const first = await obtainTokens(server, browser, { resource: toolServer.resource, clientId: DOCUMENT });
  const second = await obtainTokens(server, other, { resource: toolServer.resource, clientId: DOCUMENT });
  expect((first.claims.act as { sub: string }).sub).not.toBe((second.claims.act as { sub: string }).sub);
  const states = await server.store.db
    .selectFrom('tasks')
    .select('state')
    .where(
      'id',
      'in',
      [first, second].map(({ claims }) => (claims.task as { id: string }).id),
    )
    .execute();
  expect(states).toEqual([{ state: 'active' }, { state: 'active' }]);
});

test.each([
  ['names another client', { client_id: 'https://apps.example/other.json' }],
  ['has a shared secret', { client_secret: 'x', token_endpoint_auth_method: 'client_secret_basic' }],
  ['has no name', { client_name: undefined }],
  ['has a redirect without TLS', { redirect_uris: ['http://evil.example/cb'] }],
  ['has a redirect that runs script', { redirect_uris: ['javascript:alert(1)'] }],
])('T47: a document that %s is refused with a local error', async (what, changes) => {
  const address = `https://apps.example/${encodeURIComponent(what)}`;
  documents.set(address, clientDocument(address, changes));
  const response = await browser.get(authorizeAddress(server, { resource: toolServer.resource, clientId: address }));
  expect(response.status).toBe(400);
  expect(response.headers.get('location')).toBeNull();
});

test('T47: a document of a domain that is not trusted is not even fetched', async () => {
  for (const address of [
    'https://evil.example/c',
    'https://apps.example.evil.example/c',
    'https://evilapps.example/c',
  ]) {
    documents.set(address, clientDocument(address));
    const response = await browser.get(authorizeAddress(server, { resource: toolServer.resource, clientId: address }));
    expect(response.status).toBe(400);
    expect(fetched).not.toContain(address);
  }
});

test('T46: a document that cannot be had tells nothing of why', async () => {
  const pages = [];
  documents.set('https://apps.example/html', '<html>');
  for (const path of ['missing', 'html']) {
    const clientId = `https://apps.example/${path}`;
    const response = await browser.get(authorizeAddress(server, { resource: toolServer.resource, clientId }));
    expect(response.status).toBe(400);
    pages.push(await response.text());
  }
  expect(pages[0]).toBe(pages[1]);
});

test('domains are matched by label, and hosts of a test by their exact port', () => {
  const rules = { enabled: true, allowedDomains: ['apps.example'], allowedHosts: ['localhost:8443'] };
  expect(mayPublishClients(rules, 'https://a.apps.example/c')).toBe(true);
  expect(mayPublishClients(rules, 'https://notapps.example/c')).toBe(false);
  expect(mayPublishClients(rules, 'https://localhost:8443/c')).toBe(true);
  expect(mayPublishClients(rules, 'https://localhost/c')).toBe(false);
  expect(mayPublishClients({ ...rules, allowedDomains: [] }, 'https://any.example/c')).toBe(true);
});
