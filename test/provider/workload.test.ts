import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { addWorkload, removeWorkload } from '../../src/agents/workloads.ts';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import type { WorkloadIssuer } from '../../src/model/federation.ts';
import { ForeignIssuer, type MintedToken } from '../support/foreign_issuer.ts';
import { dpopProof, postForm } from '../support/oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  addToolServer,
  newTestKey,
  type OAuthServer,
  startOAuthServer,
  type TestAgent,
  type TestToolServer,
} from '../support/oauth_server.ts';

const SUBJECT = 'repo:acme/shop:environment:production';
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

let platform: ForeignIssuer;
let cluster: ForeignIssuer;
let server: OAuthServer;
let toolServer: TestToolServer;
let ownerId: string;
let agent: TestAgent;

const trusted = (issuer: ForeignIssuer, changes: Partial<WorkloadIssuer> = {}): WorkloadIssuer => ({
  kind: 'oidc',
  issuer: issuer.issuer,
  jwksUri: null,
  format: 'jwks',
  audience: 'https://countersign.example',
  uses: 'once',
  secondsMax: 3_600,
  ...changes,
});

let platforms: WorkloadIssuer[];

beforeAll(async () => {
  platform = await ForeignIssuer.start('RS256');
  cluster = await ForeignIssuer.start('ES256');
  platforms = [trusted(platform), trusted(cluster, { uses: 'one_key', audience: 'countersign' })];
  server = await startOAuthServer({
    safeFetch: createSafeFetch({ allowedHosts: ['127.0.0.1:*'] }),
    config: { federation: { workloadIssuers: platforms, assertionIssuers: [] } },
  });
  toolServer = await addToolServer(server.store);
  ownerId = await addPerson(server.store);
  agent = await addServiceAgent(server.store, ownerId);
  await allow(agent, platform, SUBJECT);
});
afterAll(async () => {
  await server.close();
  await platform.stop();
  await cluster.stop();
});

async function allow(of: TestAgent, issuer: ForeignIssuer, subject: string, claims: Record<string, string> = {}) {
  const by = { kind: 'person', id: ownerId } as const;
  const added = await addWorkload(server.store, platforms, {
    agentId: of.id,
    issuer: issuer.issuer,
    subject,
    claims,
    by,
  });
  if (!added.ok) throw new Error(added.refusal.message);
  return added.value;
}

const job = (changes: MintedToken = {}) =>
  platform.mint({
    ...changes,
    claims: { sub: SUBJECT, aud: 'https://countersign.example', repository_id: '74', ...changes.claims },
  });

function authenticate(token: string, fields: Record<string, string> = {}, headers: Record<string, string> = {}) {
  return postForm(
    server,
    '/token',
    {
      grant_type: 'client_credentials',
      resource: `${server.issuer}/api/v1`,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: token,
      ...fields,
    },
    headers,
  );
}

const present = (token: string, fields: Record<string, string> = {}) =>
  postForm(server, '/token', { grant_type: GRANT, assertion: token, resource: toolServer.resource, ...fields });

async function refusals(): Promise<{ code: string; issuer: string; personal: unknown }[]> {
  const rows = await server.store.db
    .selectFrom('events')
    .select(['body', 'personal'])
    .where('kind', '=', 'workload.refused')
    .orderBy('id')
    .execute();
  return rows.map(({ body, personal }) => ({
    ...(JSON.parse(body).ids as { code: string; issuer: string }),
    personal,
  }));
}

test('the token of a platform is the client authentication of its agent, which then is as any other', async () => {
  const answer = await authenticate(await job());
  expect(answer.body).toMatchObject({ scope: 'tasks', token_type: 'Bearer' });
  expect(decodeJwt(answer.body.access_token!)).toMatchObject({ sub: agent.id, client_id: agent.clientId });
  // Named or not, and for the other endpoints where clients authenticate.
  expect((await authenticate(await job(), { client_id: agent.clientId })).status).toBe(200);
  const introspected = await postForm(server, '/introspect', {
    token: answer.body.access_token!,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await job(),
  });
  expect(introspected.body).toMatchObject({ active: true, client_id: agent.clientId });
});

test('a token that comes as the grant begins a task for the owner, and the next one goes on with it', async () => {
  const first = await present(await job());
  expect(first.body).toMatchObject({ scope: 'mcp:tools' });
  const claims = decodeJwt(first.body.access_token!) as Record<string, unknown>;
  expect(claims).toMatchObject({ sub: ownerId, act: { sub: agent.id }, aud: toolServer.resource });
  const second = await present(await job());
  expect(decodeJwt(second.body.access_token!).task).toEqual(claims.task);
  const { id } = claims.task as { id: string };
  const task = await server.store.db
    .selectFrom('tasks')
    .select(['tools', 'purpose'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  expect(task).toEqual({ tools: { [toolServer.id]: ['read_file', 'write_file'] }, purpose: 'tests' });
});

test('a token works once, on every path', async () => {
  const token = await job();
  expect((await authenticate(token)).status).toBe(200);
  const again = await authenticate(token);
  expect(again.status).toBe(401);
  expect(again.body.error).toBe('invalid_client');
  expect(again.body.error_description).toContain('used before');
  const asGrant = await present(token);
  expect(asGrant.status).toBe(400);
  expect(asGrant.body.error).toBe('invalid_grant');
  // Without an id, what was signed is the id.
  const nameless = await job({ claims: { jti: null } });
  expect((await authenticate(nameless)).status).toBe(200);
  expect((await authenticate(nameless)).status).toBe(401);
  expect((await refusals()).at(-1)).toMatchObject({ code: 'replayed', issuer: platform.issuer });
});

test.each([
  ['another audience', { aud: 'https://other.example' }, 'audience'],
  ['several audiences', { aud: ['https://countersign.example', 'https://other.example'] }, 'audience'],
  ['no audience', { aud: null }, 'audience'],
  ['an end in the past', { exp: 1_700_000_000, iat: 1_699_999_900 }, 'expired'],
  ['a beginning in the future', { iat: 4_000_000_000, exp: 4_000_000_300 }, 'not_yet'],
  ['a life longer than is allowed', { exp: Math.floor(Date.now() / 1000) + 40_000 }, 'too_long'],
  ['no time of issue', { iat: null }, 'claims'],
  ['an unknown subject', { sub: 'repo:acme/shop:environment:staging' }, 'unknown'],
  ['a subject that only begins like one', { sub: `${SUBJECT}:more` }, 'unknown'],
])('a token with %s is refused, and the audit log says why', async (_, claims, code) => {
  const answer = await authenticate(await job({ claims }));
  expect(answer.status).toBe(401);
  expect(answer.body.error).toBe('invalid_client');
  expect((await refusals()).at(-1)).toMatchObject({ code, issuer: platform.issuer });
});

test.each(['at+jwt', 'oauth-id-jag+jwt', 'secevent+jwt', 'application/at+jwt'])(
  'a token of the type %s of the same platform is none of a workload',
  async (typ) => {
    expect((await authenticate(await job({ header: { typ } }))).status).toBe(401);
  },
);

test('T18: tokens without a signature, or with a shared key, are refused', async () => {
  const [, payload] = (await job()).split('.');
  const head = (header: object) => Buffer.from(JSON.stringify(header)).toString('base64url');
  for (const alg of ['none', 'nOnE', 'HS256']) {
    const answer = await authenticate(`${head({ alg })}.${payload}.${alg === 'HS256' ? 'AAAA' : ''}`);
    expect(answer.body.error, alg).toBe('invalid_client');
  }
  const [header, , signature] = (await job()).split('.');
  const forged = head({ ...decodeJwt(await job()), sub: 'repo:acme/shop:environment:staging' });
  expect((await authenticate(`${header}.${forged}.${signature}`)).body.error).toBe('invalid_client');
});

test('T19: a key that the token brings, points at or names outlandishly is not used, and nothing is fetched for it', async () => {
  await authenticate(await job());
  const before = await platform.fetched();
  for (const header of [
    { jku: 'http://127.0.0.1:1/keys' },
    { x5u: 'http://127.0.0.1:1/cert' },
    { jwk: (await newTestKey()).publicJwk },
  ]) {
    expect((await authenticate(await job({ header }))).body.error).toBe('invalid_client');
  }
  for (const kid of ['../../dev/null', "' or 1=1 --", 'k'.repeat(4_000)]) {
    expect((await authenticate(await job({ header: { kid } }))).body.error).toBe('invalid_client');
  }
  const after = await platform.fetched();
  expect(after.jwks - before.jwks).toBeLessThanOrEqual(1);
});

test('an agent signs in by a pattern and by claims that are pinned; two that a workload could be are none', async () => {
  const nightly = await addServiceAgent(server.store, ownerId);
  await allow(nightly, platform, 'repo:acme/shop:ref:*', { repository_id: '74', '/deployment/tier': '1' });
  const sub = 'repo:acme/shop:ref:main';
  const pinned = { sub, deployment: { tier: 1 } };
  const answer = await authenticate(await job({ claims: pinned }));
  expect(decodeJwt(answer.body.access_token!).sub).toBe(nightly.id);
  for (const claims of [{ sub }, { ...pinned, repository_id: '75' }, { sub, deployment: { tier: '2' } }]) {
    expect((await authenticate(await job({ claims }))).status).toBe(401);
    expect((await refusals()).at(-1)).toMatchObject({ code: 'claims' });
  }
  const twin = await addServiceAgent(server.store, ownerId);
  await allow(twin, platform, 'repo:acme/shop:ref:*');
  expect((await authenticate(await job({ claims: pinned }))).status).toBe(401);
  expect((await refusals()).at(-1)).toMatchObject({ code: 'ambiguous' });
  const named = await authenticate(await job({ claims: pinned }), { client_id: twin.clientId });
  expect(decodeJwt(named.body.access_token!).sub).toBe(twin.id);
  // It cannot name an agent that it is not.
  expect((await authenticate(await job({ claims: pinned }), { client_id: agent.clientId })).status).toBe(401);
});

test('a workload that was taken away, or whose agent is not active, does not sign in any more', async () => {
  const other = await addServiceAgent(server.store, ownerId);
  const sub = 'repo:acme/shop:environment:gone';
  const workload = await allow(other, platform, sub);
  expect((await authenticate(await job({ claims: { sub } }))).status).toBe(200);
  await server.store.db.updateTable('agents').set({ state: 'suspended' }).where('id', '=', other.id).execute();
  expect((await authenticate(await job({ claims: { sub } }))).status).toBe(401);
  expect((await refusals()).at(-1)).toMatchObject({ code: 'agent_inactive' });
  await server.store.db
    .updateTable('agents')
    .set({ state: 'active', ends_at: new Date(Date.now() - 1000) })
    .where('id', '=', other.id)
    .execute();
  expect((await authenticate(await job({ claims: { sub } }))).status).toBe(401);
  await server.store.db.updateTable('agents').set({ ends_at: null }).where('id', '=', other.id).execute();
  const by = { kind: 'person', id: ownerId } as const;
  expect((await removeWorkload(server.store, { agentId: other.id, workloadId: workload.id, by })).ok).toBe(true);
  expect((await authenticate(await job({ claims: { sub } }))).status).toBe(401);
});

test('where a platform hands out one token again and again, it belongs to the key it first came with', async () => {
  const sub = 'system:serviceaccount:shop:agent';
  await allow(agent, cluster, sub);
  const token = await cluster.mint({ claims: { sub, aud: ['countersign'], jti: null } });
  const key = await newTestKey();
  const stranger = await newTestKey();
  expect((await authenticate(token)).body.error).toBe('invalid_client');
  const mine = await authenticate(token, {}, { DPoP: await dpopProof(server, key) });
  expect(mine.body).toMatchObject({ token_type: 'DPoP' });
  expect((await authenticate(token, {}, { DPoP: await dpopProof(server, key) })).status).toBe(200);
  const stolen = await authenticate(token, {}, { DPoP: await dpopProof(server, stranger) });
  expect(stolen.body.error).toBe('invalid_client');
  expect((await refusals()).at(-1)).toMatchObject({ code: 'replayed' });
  // A proof that names the right key without having it proves nothing.
  const proof = await dpopProof(server, { ...stranger, publicJwk: key.publicJwk });
  expect((await authenticate(token, {}, { DPoP: proof })).body.error).toBe('invalid_client');
});

test('keys out of reach are an outage, and nobody is let in', async () => {
  const passing = await ForeignIssuer.start('ES256');
  const one = await startOAuthServer({
    safeFetch: createSafeFetch({ allowedHosts: ['127.0.0.1:*'] }),
    config: {
      federation: { workloadIssuers: [trusted(passing, { audience: 'here' })], assertionIssuers: [] },
    },
  });
  try {
    const token = await passing.mint({ claims: { sub: SUBJECT, aud: 'here' } });
    await passing.stop();
    const answer = await postForm(one, '/token', {
      grant_type: GRANT,
      assertion: token,
      resource: 'http://localhost/x',
    });
    expect(answer.status).toBe(503);
    expect(answer.body).toMatchObject({ error: 'temporarily_unavailable' });
    expect(answer.headers.get('retry-after')).not.toBeNull();
    expect(answer.body.error_description).not.toContain('127.0.0.1:1');
  } finally {
    await one.close();
    await passing.stop();
  }
});

test('beside other client authentication, or given twice, a token is left to the engine, which refuses', async () => {
  const fields = new URLSearchParams({ grant_type: GRANT, assertion: await job(), resource: toolServer.resource });
  const basic = { authorization: `Basic ${Buffer.from('a:b').toString('base64')}` };
  expect((await postForm(server, '/token', fields, basic)).status).toBeGreaterThanOrEqual(400);
  fields.append('assertion', await job());
  expect((await postForm(server, '/token', fields)).body.error).toBe('invalid_request');
});

test('an address that sends many refused tokens waits', async () => {
  const increment = vi.spyOn(server.store.ephemeral, 'get').mockResolvedValue('60');
  const answer = await authenticate(await job());
  increment.mockRestore();
  expect(answer.status).toBe(429);
  expect(answer.body.error).toBe('slow_down');
});
