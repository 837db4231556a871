import { type CryptoKey, decodeJwt, generateKeyPair } from 'jose';
import * as oauth from 'oauth4webapi';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clientAssertion, dpopProof, obtainTokens, postForm, refresh } from '../support/oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  addTask,
  addToolServer,
  newTestKey,
  type OAuthServer,
  signedInBrowser,
  startOAuthServer,
  type TestAgent,
  type TestToolServer,
} from '../support/oauth_server.ts';

// When tokens must be bound to a key (RFC 9449), and nonces, with oauth4webapi as an independent client.

let nonced: OAuthServer;
let strict: OAuthServer;

beforeAll(async () => {
  nonced = await startOAuthServer({ rules: { dpop: { noncesRequired: true, requiredFromRisk: null } } });
  strict = await startOAuthServer({ rules: { dpop: { noncesRequired: false, requiredFromRisk: 'write' } } });
});
afterAll(async () => {
  await nonced.close();
  await strict.close();
});

interface World {
  readonly toolServer: TestToolServer;
  readonly agent: TestAgent;
  readonly personId: string;
}

async function worldAt({ store }: OAuthServer): Promise<World> {
  const personId = await addPerson(store);
  return { toolServer: await addToolServer(store), agent: await addServiceAgent(store, personId), personId };
}

async function taskToken(server: OAuthServer, world: World, tools: string[], headers: Record<string, string> = {}) {
  const { agent, toolServer, personId } = world;
  const task = { agentId: agent.id, clientId: agent.clientId, requesterId: personId };
  const id = await addTask(server.store, { ...task, tools: { [toolServer.id]: tools } });
  return postForm(
    server,
    '/token',
    {
      grant_type: 'client_credentials',
      resource: toolServer.resource,
      authorization_details: JSON.stringify([{ type: 'mcp_task', task_id: id }]),
      ...(await clientAssertion(server, agent.clientId, agent.key)),
    },
    headers,
  );
}

test('an independent client is told of the nonce, tries again with it, and keeps it for the next request', async () => {
  const { agent } = await worldAt(nonced);
  const options = { [oauth.allowInsecureRequests]: true };
  const url = new URL(nonced.issuer);
  const as = await oauth.processDiscoveryResponse(
    url,
    await oauth.discoveryRequest(url, { ...options, algorithm: 'oauth2' }),
  );
  expect(as.dpop_signing_alg_values_supported).toContain('ES256');
  const client = { client_id: agent.clientId };
  const DPoP = oauth.DPoP(
    { ...client, [oauth.clockSkew]: 0 },
    (await generateKeyPair('ES256')) as { privateKey: CryptoKey; publicKey: CryptoKey },
  );
  const authentication = oauth.PrivateKeyJwt(agent.key.privateKey);
  const ask = async () =>
    oauth.processClientCredentialsResponse(
      as,
      client,
      await oauth.clientCredentialsGrantRequest(
        as,
        client,
        authentication,
        { resource: `${nonced.issuer}/api/v1` },
        { ...options, DPoP },
      ),
    );
  const refused = await ask().catch((error: unknown) => error);
  expect(oauth.isDPoPNonceError(refused)).toBe(true);
  const tokens = await ask();
  expect(tokens.token_type).toBe('dpop');
  expect(decodeJwt(tokens.access_token)).toHaveProperty('cnf.jkt');
  expect((await ask()).token_type).toBe('dpop');
  // A client that binds nothing needs no nonce.
  const plain = await postForm(nonced, '/token', {
    grant_type: 'client_credentials',
    resource: `${nonced.issuer}/api/v1`,
    ...(await clientAssertion(nonced, agent.clientId, agent.key)),
  });
  expect(plain.body.token_type).toBe('Bearer');
});

test.each<[string, (key: Awaited<ReturnType<typeof newTestKey>>) => Promise<string>]>([
  ['another method', (key) => dpopProof(strict, key, { htm: 'GET' })],
  ['another address', (key) => dpopProof(strict, key, { htu: 'https://other.example/token' })],
  ['an address that is no text', (key) => dpopProof(strict, key, { htu: 7 })],
  ['a method that is no text', (key) => dpopProof(strict, key, { htm: ['POST'] })],
  ['a time that is no number', (key) => dpopProof(strict, key, { iat: 'now' })],
  ['a time in the future', (key) => dpopProof(strict, key, { iat: Math.floor(Date.now() / 1000) + 600 })],
  ['a time long ago', (key) => dpopProof(strict, key, { iat: Math.floor(Date.now() / 1000) - 3_600 })],
  ['a nonce that nobody gave', (key) => dpopProof(strict, key, { nonce: 'x'.repeat(43) })],
])('T22: a proof of %s is refused', async (_, make) => {
  const world = await worldAt(strict);
  const answer = await taskToken(strict, world, ['read_file'], { DPoP: await make(await newTestKey()) });
  expect(answer.status).toBe(400);
  expect(['invalid_dpop_proof', 'use_dpop_nonce']).toContain(answer.body.error);
});

test('a task with a tool of the class gets bound tokens only; one without gets either', async () => {
  const world = await worldAt(strict);
  const key = await newTestKey();
  expect((await taskToken(strict, world, ['read_file'])).body.token_type).toBe('Bearer');
  const unbound = await taskToken(strict, world, ['read_file', 'write_file']);
  expect(unbound.body).toMatchObject({ error: 'invalid_dpop_proof' });
  expect(unbound.body.error_description).toContain('write');
  const bound = await taskToken(strict, world, ['write_file'], { DPoP: await dpopProof(strict, key) });
  expect(decodeJwt(bound.body.access_token!)).toMatchObject({ cnf: { jkt: key.thumbprint } });
});

test('a refresh that is refused for want of a proof has used nothing up', async () => {
  const { toolServer } = await worldAt(strict);
  const browser = await signedInBrowser(strict, await addPerson(strict.store));
  const { risk } = await strict.store.db
    .selectFrom('tools')
    .select('risk')
    .where('tool_server_id', '=', toolServer.id)
    .where('name', '=', 'write_file')
    .executeTakeFirstOrThrow();
  const reclass = (to: typeof risk) =>
    strict.store.db
      .updateTable('tools')
      .set({ risk: to })
      .where('tool_server_id', '=', toolServer.id)
      .where('name', '=', 'write_file')
      .execute();
  await reclass('read');
  const tokens = await obtainTokens(strict, browser, { resource: toolServer.resource });
  await reclass('write');
  expect((await refresh(strict, tokens.refreshToken)).body.error).toBe('invalid_dpop_proof');
  await reclass('read');
  expect((await refresh(strict, tokens.refreshToken)).status).toBe(200);
});

test('an agent that is registered so has bound tokens only, for its tasks and for the API', async () => {
  const world = await worldAt(nonced);
  await nonced.store.db.updateTable('agents').set({ dpop_required: true }).where('id', '=', world.agent.id).execute();
  const unbound = await taskToken(nonced, world, ['read_file']);
  expect(unbound.body.error).toBe('invalid_dpop_proof');
  const api = await postForm(nonced, '/token', {
    grant_type: 'client_credentials',
    resource: `${nonced.issuer}/api/v1`,
    ...(await clientAssertion(nonced, world.agent.clientId, world.agent.key)),
  });
  expect(api.body.error).toBe('invalid_dpop_proof');
});
