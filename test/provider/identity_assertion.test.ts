import { decodeJwt } from 'jose';
import * as oauth from 'oauth4webapi';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import { ForeignIssuer, type MintedToken } from '../support/foreign_issuer.ts';
import { clientAssertion, dpopProof, postForm } from '../support/oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  addToolServer,
  newTestKey,
  type OAuthServer,
  REDIRECT_URI,
  startOAuthServer,
  type TestAgent,
  type TestToolServer,
  testClient,
} from '../support/oauth_server.ts';

// Identity assertion grants (ID-JAG), with a real OpenID provider as their issuer and oauth4webapi as a client.

const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const SECRET = 'Zm9yLXRoZS1jbGllbnQtdGhhdC1jYW4tZG8tbm8tYmV0dGVy';

let login: ForeignIssuer;
let server: OAuthServer;
let toolServer: TestToolServer;
let other: TestToolServer;
let personId: string;
let agent: TestAgent;

beforeAll(async () => {
  login = await ForeignIssuer.start('ES256');
  const issuer = { issuer: login.issuer, jwksUri: null, format: 'jwks', secondsMax: 600 } as const;
  server = await startOAuthServer({
    safeFetch: createSafeFetch({ allowedHosts: ['127.0.0.1:*'] }),
    clients: [
      testClient('cli'),
      testClient('keeper', {
        token_endpoint_auth_method: 'client_secret_basic',
        client_secret: SECRET,
        grant_types: ['authorization_code', GRANT],
        redirect_uris: [REDIRECT_URI],
      }),
    ],
    config: { federation: { workloadIssuers: [], assertionIssuers: [{ ...issuer, tenant: null }] } },
  });
  toolServer = await addToolServer(server.store);
  other = await addToolServer(server.store);
  personId = await addPerson(server.store, 'Ada');
  agent = await addServiceAgent(server.store, await addPerson(server.store, 'Grace'));
  await server.store.db
    .insertInto('identities')
    .values({ issuer: login.issuer, subject: 'ada@login', person_id: personId })
    .execute();
});
afterAll(async () => {
  await server.close();
  await login.stop();
});

const assertion = ({ header, claims }: MintedToken = {}) =>
  login.mint({
    header: { typ: 'oauth-id-jag+jwt', ...header },
    claims: {
      sub: 'ada@login',
      aud: server.issuer,
      client_id: agent.clientId,
      resource: toolServer.resource,
      scope: 'mcp:tools',
      ...claims,
    },
  });

async function present(token: string, fields: Record<string, string> = {}, headers: Record<string, string> = {}) {
  const proof = await clientAssertion(server, agent.clientId, agent.key);
  return postForm(server, '/token', { grant_type: GRANT, assertion: token, ...proof, ...fields }, headers);
}

async function lastRefusal(): Promise<Record<string, unknown>> {
  const row = await server.store.db
    .selectFrom('events')
    .select('body')
    .where('kind', '=', 'workload.refused')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
  return JSON.parse(row.body).ids;
}

test('an independent client finds the grant in the metadata and gets a token for the person, without a refresh token', async () => {
  const options = { [oauth.allowInsecureRequests]: true };
  const url = new URL(server.issuer);
  const discovered = await oauth.discoveryRequest(url, { ...options, algorithm: 'oauth2' });
  const as = await oauth.processDiscoveryResponse(url, discovered);
  expect(as.grant_types_supported).toContain(GRANT);
  expect(as.authorization_grant_profiles_supported).toEqual(['urn:ietf:params:oauth:grant-profile:id-jag']);
  const client = { client_id: agent.clientId };
  const authentication = oauth.PrivateKeyJwt(agent.key.privateKey, {
    [oauth.modifyAssertion]: (_header, payload) => {
      payload.aud = server.issuer;
    },
  });
  const response = await oauth.genericTokenEndpointRequest(
    as,
    client,
    authentication,
    GRANT,
    { assertion: await assertion() },
    options,
  );
  const tokens = await oauth.processGenericTokenEndpointResponse(as, client, response);
  expect(tokens).toMatchObject({ token_type: 'bearer', scope: 'mcp:tools' });
  expect(tokens.refresh_token).toBeUndefined();
  const claims = decodeJwt(tokens.access_token) as Record<string, unknown> & { task: { id: string } };
  expect(claims).toMatchObject({ sub: personId, aud: toolServer.resource, act: { sub: agent.id } });
  const task = await server.store.db
    .selectFrom('tasks')
    .selectAll()
    .where('id', '=', claims.task.id)
    .executeTakeFirstOrThrow();
  expect(task).toMatchObject({
    origin: 'identity_assertion',
    requester_id: personId,
    agent_id: agent.id,
    tools: { [toolServer.id]: ['read_file', 'write_file'] },
  });
  // The next assertion goes on with the task.
  const next = await present(await assertion());
  expect(decodeJwt(next.body.access_token!).task).toEqual(claims.task);
});

test('a client may say what its task is to be, within what was asserted', async () => {
  const ask = async (detail: object) =>
    present(await assertion(), {
      resource: toolServer.resource,
      authorization_details: JSON.stringify([
        { type: 'mcp_task', purpose: 'Read two', tools: ['read_file'], ...detail },
      ]),
    });
  const answer = await ask({ seconds: 90, budget: { calls: 2 } });
  const { task } = decodeJwt<{ task: { id: string } }>(answer.body.access_token!);
  expect(answer.body.authorization_details).toEqual([{ type: 'mcp_task', task_id: task.id }]);
  expect(answer.body.expires_in).toBeLessThanOrEqual(90);
  const row = server.store.db.selectFrom('tasks').selectAll().where('id', '=', task.id).executeTakeFirstOrThrow();
  const tools = { [toolServer.id]: ['read_file'] };
  expect(await row).toMatchObject({ requester_id: personId, origin: 'identity_assertion', tools, purpose: 'Read two' });
  const budget = server.store.db.selectFrom('task_budgets').select(['what', 'maximum']).where('task_id', '=', task.id);
  expect(await budget.execute()).toEqual([{ what: 'calls', maximum: '2' }]);
  for (const detail of [
    { tools: [{ resource: other.resource, tools: ['read_file'] }] },
    { purpose_code: 'billing' },
    { template: 'nightly' },
    { tools: ['erase_disk'] },
    { seconds: 5 },
  ]) {
    expect((await ask(detail)).body.error, JSON.stringify(detail)).toBe('invalid_grant');
  }
  const named = [{ type: 'mcp_task', task_id: task.id }];
  const details = { resource: toolServer.resource, authorization_details: JSON.stringify(named) };
  expect((await present(await assertion(), details)).body.error).toBe('invalid_authorization_details');
});

test('a configured client with a secret may use it, as the agent that it is in the hands of this person', async () => {
  const token = await assertion({ claims: { client_id: 'keeper' } });
  const authorization = `Basic ${Buffer.from(`keeper:${SECRET}`).toString('base64')}`;
  const answer = await postForm(server, '/token', { grant_type: GRANT, assertion: token }, { authorization });
  const claims = decodeJwt(answer.body.access_token!) as Record<string, unknown> & { act: { sub: string } };
  expect(claims).toMatchObject({ sub: personId, client_id: 'keeper' });
  const row = await server.store.db
    .selectFrom('agents')
    .select(['kind', 'person_id', 'owner_id'])
    .where('id', '=', claims.act.sub)
    .executeTakeFirstOrThrow();
  expect(row).toEqual({ kind: 'interactive', person_id: personId, owner_id: personId });
  const wrong = `Basic ${Buffer.from('keeper:wrong-wrong-wrong-wrong-wrong-wrong').toString('base64')}`;
  const refused = await postForm(server, '/token', { grant_type: GRANT, assertion: token }, { authorization: wrong });
  expect(refused.body.error).toBe('invalid_client');
});

test('a public client cannot: whoever intercepts an assertion could call itself by its name', async () => {
  const token = await assertion({ claims: { client_id: 'cli' } });
  const answer = await postForm(server, '/token', { grant_type: GRANT, assertion: token, client_id: 'cli' });
  expect(answer.status).toBe(400);
  expect(answer.body.access_token).toBeUndefined();
});

test.each<[string, MintedToken, string]>([
  ['for another server', { claims: { aud: 'https://other.example' } }, 'audience'],
  ['for several servers', { claims: { aud: ['https://other.example', 'x'] } }, 'audience'],
  ['for another client', { claims: { client_id: 'somebody-else' } }, 'client'],
  ['for no client', { claims: { client_id: null } }, 'claims'],
  ['without an id', { claims: { jti: null } }, 'claims'],
  ['without a resource', { claims: { resource: null } }, 'claims'],
  ['of nobody here', { claims: { sub: 'eve@login' } }, 'person_unknown'],
  ['that is too long-lived', { claims: { exp: Math.floor(Date.now() / 1000) + 7_200 } }, 'too_long'],
  ['that has expired', { claims: { iat: 1_700_000_000, exp: 1_700_000_100 } }, 'expired'],
  ['of another type', { header: { typ: 'JWT' } }, 'type'],
  ['of an issuer that is not trusted', { claims: { iss: 'https://evil.example' } }, 'issuer'],
  ['in the name of another actor', { claims: { act: { sub: 'x' } } }, 'claims'],
  ['with details nobody here knows', { claims: { authorization_details: [{ type: 'x' }] } }, 'claims'],
  ['of another organisation', { claims: { tenant: 'other' } }, 'claims'],
])('an assertion %s is refused with invalid_grant, and the audit log says why', async (_, changes, code) => {
  const answer = await present(await assertion(changes));
  expect(answer.status).toBe(400);
  expect(answer.body.error).toBe('invalid_grant');
  expect(await lastRefusal()).toMatchObject({ what: 'identity_assertion', code, client: agent.clientId });
});

test('T18, T19: an assertion that is not signed by its issuer, or that brings a key, is refused', async () => {
  const good = await assertion();
  const [header, payload] = good.split('.');
  const head = (alg: string) => Buffer.from(JSON.stringify({ alg, typ: 'oauth-id-jag+jwt' })).toString('base64url');
  for (const token of [
    `${head('none')}.${payload}.`,
    `${head('HS256')}.${payload}.AAAA`,
    `${header}.${payload}.${'A'.repeat(86)}`,
    await assertion({ header: { jku: 'http://127.0.0.1:1/' } }),
    await assertion({ header: { kid: '../../dev/null' } }),
    'x'.repeat(10_000),
  ]) {
    expect((await present(token)).body.error).toBe('invalid_grant');
  }
});

test('an assertion works once, and only for a resource that it names', async () => {
  const token = await assertion();
  const elsewhere = await present(token, { resource: other.resource });
  expect(elsewhere.body.error).toBe('invalid_grant');
  expect(await lastRefusal()).toMatchObject({ code: 'resource' });
  // What was refused has not used it up.
  expect((await present(token, { resource: `${toolServer.resource}` })).status).toBe(200);
  const again = await present(token);
  expect(again.body.error).toBe('invalid_grant');
  expect(await lastRefusal()).toMatchObject({ code: 'replayed' });
  const both = await assertion({ claims: { resource: [toolServer.resource, other.resource] } });
  expect((await present(both)).body.error).toBe('invalid_grant');
  const chosen = await present(both, { resource: other.resource });
  expect(decodeJwt(chosen.body.access_token!).aud).toBe(other.resource);
});

test('an unknown resource and a scope outside the assertion have errors of their own', async () => {
  const unknown = await assertion({ claims: { resource: 'http://localhost:1/none' } });
  expect((await present(unknown)).body.error).toBe('invalid_target');
  expect((await present(await assertion({ claims: { scope: 'mail' } }))).body.error).toBe('invalid_scope');
  expect((await present(await assertion(), { scope: 'admin' })).body.error).toBe('invalid_scope');
});

test('an assertion that is bound to a key needs a proof of that key, and the token is bound to it', async () => {
  const key = await newTestKey();
  const bound = () => assertion({ claims: { cnf: { jkt: key.thumbprint } } });
  expect((await present(await bound())).body.error).toBe('invalid_grant');
  const DPoP = await dpopProof(server, await newTestKey());
  expect((await present(await bound(), {}, { DPoP })).body.error).toBe('invalid_grant');
  const answer = await present(await bound(), {}, { DPoP: await dpopProof(server, key) });
  expect(answer.body).toMatchObject({ token_type: 'DPoP' });
  expect(decodeJwt(answer.body.access_token!)).toMatchObject({ cnf: { jkt: key.thumbprint } });
});

test('of 20 that present one assertion at the same time one gets a token', async () => {
  const token = await assertion();
  const answers = await Promise.all(Array.from({ length: 20 }, () => present(token)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
});

test('a person who is disabled is nobody, and an agent’s bound holds', async () => {
  await server.store.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', personId).execute();
  expect((await present(await assertion())).body.error).toBe('invalid_grant');
  expect(await lastRefusal()).toMatchObject({ code: 'person_inactive' });
  await server.store.db.updateTable('people').set({ state: 'active' }).where('id', '=', personId).execute();
  const bound = JSON.stringify({ [toolServer.id]: ['read_file'] });
  await server.store.db.updateTable('agents').set({ bound }).where('id', '=', agent.id).execute();
  const narrow = await present(await assertion());
  const { id } = (decodeJwt(narrow.body.access_token!) as { task: { id: string } }).task;
  const task = await server.store.db.selectFrom('tasks').select('tools').where('id', '=', id).executeTakeFirstOrThrow();
  expect(task.tools).toEqual({ [toolServer.id]: ['read_file'] });
  const nothing = await present(await assertion({ claims: { resource: other.resource } }));
  expect(nothing.body.error).toBe('invalid_grant');
});
