import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { authorizeAddress, clientAssertion, dpopProof, postForm } from '../support/oauth_flow.ts';
import { addToolServer, type OAuthServer, startOAuthServer, type TestToolServer } from '../support/oauth_server.ts';

let server: OAuthServer;
let behindProxy: OAuthServer;
let toolServer: TestToolServer;

beforeAll(async () => {
  server = await startOAuthServer();
  behindProxy = await startOAuthServer({ trustedProxies: ['127.0.0.1'] });
  toolServer = await addToolServer(server.store);
});
afterAll(async () => {
  await server.close();
  await behindProxy.close();
});

const METADATA = '/.well-known/oauth-authorization-server';

/** With exactly these headers, `fetch` would correct them. */
function send(port: number, headers: readonly string[], path = METADATA): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, path, setHost: false, headers: headers as unknown as [] },
      (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode!, body }));
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}

test.each(['evil.example', 'localhost', '127.0.0.1', '127.0.0.1:1', '[::1]', 'evil.example:9400', '0.0.0.0', ''])(
  'T60: a request for the host %j gets 421 and no metadata',
  async (host) => {
    const { status, body } = await send(server.port, ['Host', host]);
    expect(status).toBe(421);
    expect(JSON.parse(body)).toMatchObject({ error: 'host_unknown' });
    expect(body).not.toContain('token_endpoint');
  },
);

test('T60: two Host headers are refused', async () => {
  const { status } = await send(server.port, ['Host', `127.0.0.1:${server.port}`, 'Host', 'evil.example']);
  expect([400, 421]).toContain(status);
});

test('T60: forwarded headers change nothing in the metadata', async () => {
  const host = `127.0.0.1:${server.port}`;
  const plain = await send(server.port, ['Host', host]);
  const forged = await send(server.port, [
    'Host',
    host,
    'X-Forwarded-Host',
    'evil.example',
    'X-Forwarded-Proto',
    'https',
    'X-Forwarded-For',
    '203.0.113.7',
    'X-Forwarded-Prefix',
    '/evil',
    'Forwarded',
    'host=evil.example;proto=https',
    'X-Original-URL',
    '/evil',
  ]);
  expect(forged).toEqual(plain);
  expect(JSON.parse(plain.body)).toMatchObject({ issuer: server.issuer, token_endpoint: `${server.issuer}/token` });
});

test('T60: a forged Host does not make an assertion for that host acceptable', async () => {
  const assertion = await clientAssertion(server, toolServer.clientId, toolServer.key, {
    claims: { aud: 'http://evil.example/token' },
  });
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    resource: `${server.issuer}/guard/v1`,
    ...assertion,
  }).toString();
  const answer = await new Promise<number>((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port: server.port,
        path: '/token',
        method: 'POST',
        setHost: false,
        headers: {
          host: 'evil.example',
          'content-type': 'application/x-www-form-urlencoded',
          'content-length': body.length,
        },
      },
      (response) => resolve(response.resume().statusCode!),
    );
    sent.on('error', reject);
    sent.end(body);
  });
  expect(answer).toBe(421);
});

test.each([
  ['the token endpoint', (issuer: string) => `${issuer}/token`],
  ['a list with the issuer in it', (issuer: string) => [issuer, 'https://other.example']],
  ['the issuer with a slash', (issuer: string) => `${issuer}/`],
  ['another issuer', () => 'https://other.example'],
])('T60: a client assertion for %s is refused: its audience is the issuer by name', async (_what, audience) => {
  const fields = await clientAssertion(server, toolServer.clientId, toolServer.key, {
    claims: { aud: audience(server.issuer) },
  });
  const answer = await postForm(
    server,
    '/token',
    { grant_type: 'client_credentials', resource: `${server.issuer}/guard/v1`, ...fields },
    { DPoP: await dpopProof(server, toolServer.key) },
  );
  expect(answer.status).toBe(401);
  expect(answer.body.error).toBe('invalid_client');
});

test('T60: a trusted proxy may say the host, nobody else', async () => {
  const host = `127.0.0.1:${behindProxy.port}`;
  const good = await send(behindProxy.port, ['Host', 'inside:1', 'X-Forwarded-Host', host]);
  expect(good.status).toBe(200);
  const bad = await send(behindProxy.port, ['Host', host, 'X-Forwarded-Host', 'evil.example']);
  expect(bad.status).toBe(421);
  const untrusted = await send(server.port, ['Host', 'inside:1', 'X-Forwarded-Host', `127.0.0.1:${server.port}`]);
  expect(untrusted.status).toBe(421);
});

test('T60: a trusted proxy may say that it was asked without TLS, nobody else', async () => {
  const secure = await startOAuthServer({ scheme: 'https', trustedProxies: ['127.0.0.0/8'] });
  const ask = async (...proto: string[]) => {
    const headers = proto.flatMap((scheme) => ['X-Forwarded-Proto', scheme]);
    return (await send(secure.port, ['Host', `127.0.0.1:${secure.port}`, ...headers])).status;
  };
  expect(await ask()).toBe(200);
  expect(await ask('https')).toBe(200);
  expect(await ask('http')).toBe(421);
  expect(await ask('https, http')).toBe(421);
  expect(await ask('https', 'http')).toBe(421);
  await secure.close();
  expect((await send(server.port, ['Host', `127.0.0.1:${server.port}`, 'X-Forwarded-Proto', 'https'])).status).toBe(
    200,
  );
});

test('T60: behind a proxy that ends TLS, addresses and cookies are those of the issuer, whatever headers say', async () => {
  const secure = await startOAuthServer({ scheme: 'https' });
  const target = await addToolServer(secure.store);
  const headers = ['Host', `127.0.0.1:${secure.port}`, 'X-Forwarded-Proto', 'http'];
  const { body } = await send(secure.port, headers);
  expect(JSON.parse(body)).toMatchObject({ issuer: secure.issuer, token_endpoint: `${secure.issuer}/token` });
  const address = new URL(authorizeAddress(secure, { resource: target.resource }));
  const response = await fetch(`http://127.0.0.1:${secure.port}${address.pathname}${address.search}`, {
    redirect: 'manual',
  });
  expect(response.status).toBe(303);
  const cookies = response.headers.getSetCookie();
  expect(cookies.length).toBeGreaterThan(0);
  for (const cookie of cookies) {
    expect(cookie).toMatch(/^__Secure-countersign-/);
    expect(cookie).toMatch(/; secure/i);
    expect(cookie).toMatch(/; httponly/i);
    expect(cookie).toMatch(/; samesite=lax/i);
  }
  await secure.close();
});
