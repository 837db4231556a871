import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeJwt, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import { clientAssertion, postForm } from '../support/oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  newTestKey,
  type OAuthServer,
  REDIRECT_URI,
  startOAuthServer,
  type TestAgent,
  type TestKey,
  testClient,
} from '../support/oauth_server.ts';

// Agents whose keys are at an address of theirs, workloads of a SPIFFE trust domain, and clients with a secret.

const SECRET = 'Zm9yLXRoZS1jbGllbnQtdGhhdC1jYW4tZG8tbm8tYmV0dGVy';
const DOMAIN = 'spiffe://acme.example';

let publisher: Server;
let address: string;
const published = { keys: [] as object[], asked: 0, isDown: false, isHuge: false };
let server: OAuthServer;
let ownerId: string;

beforeAll(async () => {
  publisher = createServer((_request, response) => {
    published.asked += 1;
    if (published.isDown) return void response.socket?.destroy();
    response.setHeader('content-type', 'application/json');
    response.end(published.isHuge ? `{"keys":["${'x'.repeat(200_000)}"]}` : JSON.stringify({ keys: published.keys }));
  });
  await new Promise<void>((resolve) => publisher.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${(publisher.address() as AddressInfo).port}`;
  server = await startOAuthServer({
    safeFetch: createSafeFetch({ allowedHosts: ['127.0.0.1:*'], bytesMax: 64 * 1024 }),
    clients: [
      testClient('keeper', {
        token_endpoint_auth_method: 'client_secret_basic',
        client_secret: SECRET,
        redirect_uris: [REDIRECT_URI],
      }),
    ],
    config: {
      dynamicRegistration: true,
      federation: {
        workloadIssuers: [
          {
            kind: 'spiffe',
            issuer: DOMAIN,
            jwksUri: `${address}/bundle`,
            format: 'jwt_svid',
            audience: 'countersign',
            uses: 'once',
            secondsMax: 600,
          },
        ],
        assertionIssuers: [],
      },
    },
  });
  ownerId = await addPerson(server.store);
});
afterAll(async () => {
  await server.close();
  publisher.closeAllConnections();
  await new Promise((resolve) => publisher.close(resolve));
});

async function publishingAgent(path: string): Promise<TestAgent> {
  const agent = await addServiceAgent(server.store, ownerId);
  await server.store.db
    .updateTable('oauth_clients')
    .set({ metadata: JSON.stringify({ client_name: 'Agent', jwks_uri: `${address}${path}` }) })
    .where('client_id', '=', agent.clientId)
    .execute();
  return agent;
}

async function ask(agent: TestAgent, key: TestKey, kid: string) {
  const assertion = await clientAssertion(server, agent.clientId, key, { header: { kid } });
  return postForm(server, '/token', {
    grant_type: 'client_credentials',
    resource: `${server.issuer}/api/v1`,
    ...assertion,
  });
}

const jwk = (key: TestKey, kid: string) => ({ ...key.publicJwk, kid });

test('an agent proves itself by the keys that it publishes, and by no other', async () => {
  const agent = await publishingAgent('/agent');
  const stranger = await newTestKey();
  published.keys = [jwk(agent.key, 'a')];
  const answer = await ask(agent, agent.key, 'a');
  expect(decodeJwt(answer.body.access_token!).sub).toBe(agent.id);
  expect((await ask(agent, stranger, 'a')).body.error).toBe('invalid_client');
  expect((await ask(agent, stranger, 'b')).body.error).toBe('invalid_client');
  const { asked } = published;
  for (let index = 0; index < 5; index += 1) await ask(agent, agent.key, 'a');
  expect(published.asked).toBe(asked);
});

test('an address that does not answer, or answers too much, is an outage for its agent: 503, and no token', async () => {
  published.isDown = true;
  const silent = await publishingAgent('/silent');
  const answer = await ask(silent, silent.key, 'a');
  published.isDown = false;
  expect(answer.status).toBe(503);
  expect(answer.body.error).toBe('temporarily_unavailable');
  published.isHuge = true;
  const loud = await publishingAgent('/loud');
  expect((await ask(loud, loud.key, 'a')).status).toBe(503);
  published.isHuge = false;
});

test('an address inside our network is never fetched', async () => {
  const agent = await addServiceAgent(server.store, ownerId);
  for (const inside of ['https://169.254.169.254/keys', 'http://10.0.0.1/keys', 'https://[::ffff:169.254.169.254]/k']) {
    await server.store.db
      .updateTable('oauth_clients')
      .set({ metadata: JSON.stringify({ client_name: 'Agent', jwks_uri: inside }) })
      .where('client_id', '=', agent.clientId)
      .execute();
    expect((await ask(agent, agent.key, 'a')).status).toBe(503);
  }
});

test('a JWT-SVID of a trusted domain is its workload, by the keys of the bundle that are for JWT-SVIDs', async () => {
  const agent = await addServiceAgent(server.store, ownerId);
  const key = await newTestKey();
  await server.store.db
    .insertInto('agent_workloads')
    .values({
      id: newId('wkl'),
      agent_id: agent.id,
      issuer: DOMAIN,
      audience: 'countersign',
      subject: `${DOMAIN}/ns/shop/sa/*`,
      created_by: ownerId,
    })
    .execute();
  const svid = (sub: string, kid: string, claims = {}) =>
    new SignJWT({ sub, aud: ['countersign'], jti: randomUUID(), ...claims })
      .setProtectedHeader({ alg: 'ES256', kid, typ: 'JWT' })
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(key.privateKey);
  published.keys = [
    { ...jwk(key, 'svid'), use: 'jwt-svid' },
    { ...jwk(key, 'x509'), use: 'x509-svid' },
  ];
  const signIn = (assertion: string, clientId?: string) =>
    postForm(server, '/token', {
      grant_type: 'client_credentials',
      resource: `${server.issuer}/api/v1`,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
      client_assertion: assertion,
      ...(clientId === undefined ? {} : { client_id: clientId }),
    });
  const id = `${DOMAIN}/ns/shop/sa/agent`;
  expect(decodeJwt((await signIn(await svid(id, 'svid'), id)).body.access_token!).sub).toBe(agent.id);
  expect((await signIn(await svid(id, 'x509'))).body.error).toBe('invalid_client');
  expect((await signIn(await svid(`${DOMAIN}/ns/bank/sa/agent`, 'svid'))).body.error).toBe('invalid_client');
  expect((await signIn(await svid('spiffe://acme.example.evil/ns/shop/sa/agent', 'svid'))).status).toBe(400);
});

test('a secret is accepted of the client that was configured to have one, and nobody else can have one', async () => {
  const metadata = (await (await fetch(`${server.issuer}/.well-known/oauth-authorization-server`)).json()) as object;
  expect(metadata).toMatchObject({
    token_endpoint_auth_methods_supported: ['none', 'private_key_jwt', 'client_secret_basic', 'client_secret_post'],
  });
  const introspect = (fields: Record<string, string>) => postForm(server, '/introspect', { token: 'x', ...fields });
  expect((await introspect({ client_id: 'keeper', client_secret: SECRET })).status).toBe(200);
  expect((await introspect({ client_id: 'keeper', client_secret: `${SECRET}x` })).body.error).toBe('invalid_client');
  expect((await introspect({ client_id: 'keeper' })).body.error).toBe('invalid_client');
  const register = async (more: object) => {
    const response = await fetch(`${server.issuer}/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ redirect_uris: [REDIRECT_URI], client_name: 'x', ...more }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  for (const method of ['client_secret_basic', 'client_secret_post', 'client_secret_jwt']) {
    const refused = await register({ token_endpoint_auth_method: method });
    expect(refused.status, method).toBe(400);
    expect(refused.body).toMatchObject({ error: 'invalid_client_metadata' });
  }
  const plain = await register({});
  expect(plain.status).toBe(201);
  expect(plain.body).not.toHaveProperty('client_secret');
  expect(plain.body.token_endpoint_auth_method).toBe('none');
});
