import { afterAll, beforeAll, expect, test } from 'vitest';
import { OAuthBrowser } from '../support/oauth_browser.ts';
import { authorizeAddress, obtainTokens } from '../support/oauth_flow.ts';
import {
  addPerson,
  addToolServer,
  type OAuthServer,
  signedInBrowser,
  startOAuthServer,
} from '../support/oauth_server.ts';

let atRoot: OAuthServer;
let atPath: OAuthServer;

beforeAll(async () => {
  atRoot = await startOAuthServer();
  atPath = await startOAuthServer({ path: '/auth/one' });
});
afterAll(async () => {
  await atRoot.close();
  await atPath.close();
});

const json = async (address: string) => {
  const response = await fetch(address);
  return response.status === 200 ? ((await response.json()) as Record<string, unknown>) : response.status;
};

test.each(['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'])(
  'metadata at %s says what MCP clients look for',
  async (path) => {
    const { issuer } = atRoot;
    expect(await json(`${issuer}${path}`)).toMatchObject({
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      introspection_endpoint: `${issuer}/introspect`,
      revocation_endpoint: `${issuer}/revoke`,
      jwks_uri: `${issuer}/jwks`,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      client_id_metadata_document_supported: true,
      token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
      authorization_details_types_supported: expect.arrayContaining(['mcp_task']),
      pushed_authorization_request_endpoint: `${issuer}/par`,
      scopes_supported: expect.arrayContaining(['mcp:tools', 'offline_access']),
      grant_types_supported: expect.arrayContaining(['authorization_code', 'refresh_token', 'client_credentials']),
    });
    expect(await json(`${issuer}${path}`)).not.toHaveProperty('registration_endpoint');
  },
);

test('an issuer with a path is found where clients look, and names the same addresses everywhere', async () => {
  const { issuer, port } = atPath;
  const root = `http://127.0.0.1:${port}`;
  const documents = await Promise.all(
    [
      `${root}/.well-known/oauth-authorization-server/auth/one`,
      `${root}/.well-known/openid-configuration/auth/one`,
      `${issuer}/.well-known/openid-configuration`,
    ].map(json),
  );
  for (const document of documents) {
    expect(document).toMatchObject({
      issuer,
      token_endpoint: `${issuer}/token`,
      authorization_endpoint: `${issuer}/authorize`,
    });
  }
  expect(await json(`${root}/.well-known/oauth-authorization-server`)).toBe(404);
  expect(await json(`${root}/.well-known/oauth-authorization-server/auth/two`)).toBe(404);
  expect(await json(`${root}/jwks`)).toBe(404);
});

test('the whole flow works under a path, cookies and all', async () => {
  const toolServer = await addToolServer(atPath.store);
  const browser = await signedInBrowser(atPath, await addPerson(atPath.store));
  const { claims } = await obtainTokens(atPath, browser, { resource: toolServer.resource });
  expect(claims.iss).toBe(atPath.issuer);
});

test('the public keys hold nothing private', async () => {
  const { keys } = (await json(`${atRoot.issuer}/jwks`)) as { keys: Record<string, unknown>[] };
  // One signs tokens, one signs leases.
  expect(keys).toHaveLength(2);
  expect(keys[0]).toMatchObject({ kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' });
  for (const key of keys) expect(key).not.toHaveProperty('d');
});

test('a request without a resource, or for two, is refused', async () => {
  const toolServer = await addToolServer(atRoot.store);
  const browser = new OAuthBrowser(atRoot.issuer);
  const two = `${authorizeAddress(atRoot, { resource: toolServer.resource })}&resource=http://localhost:1/b`;
  for (const address of [authorizeAddress(atRoot, {}), two]) {
    const location = (await browser.get(address)).headers.get('location')!;
    expect(new URL(location).searchParams.get('error')).toBe('invalid_target');
  }
});

test('what is not offered is not there: registration, userinfo, posted authorization requests', async () => {
  for (const [method, path] of [
    ['POST', '/register'],
    ['GET', '/me'],
    ['POST', '/authorize'],
    ['GET', '/end-session'],
  ]) {
    const response = await fetch(`${atRoot.issuer}${path}`, { method: method! });
    expect(response.status, path).toBe(404);
  }
});
