import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { importJWK, type JWK, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generateAgentKey } from '../../src/agent/index.ts';
import { createDpopProof, generateDpopKey } from '../../src/wire/dpop_rfc9449.ts';
import { Installation, killHard } from './installation.ts';

// F2: what was used up, rotated or revoked before a kill -9 of the server stays dead after it.

const REDIRECT_URI = 'http://127.0.0.1:5555/callback';

let place: Installation;
let agentKey: JWK;
let agentId: string;

beforeAll(async () => {
  place = await Installation.open('restart');
  const { key, publicJwk } = await generateAgentKey();
  agentKey = key as unknown as JWK;
  agentId = await register(publicJwk);
}, 120_000);
afterAll(() => place?.close());

async function register(publicJwk: object): Promise<string> {
  const fields = { name: 'Another agent', purpose: 'tests', jwks: JSON.stringify({ keys: [publicJwk] }) };
  const page = await place.operator.submit(await place.operator.open('/agents'), { action: /\/agents$/ }, fields);
  return /agt_[a-z2-7]{26}/.exec(page.url)![0];
}

async function restart(): Promise<void> {
  await killHard(place.server);
  await place.startServer();
}

interface TokenAnswer {
  readonly status: number;
  readonly error?: string;
  readonly access_token?: string;
  readonly refresh_token?: string;
}

async function post(path: string, fields: Record<string, string>, headers: Record<string, string> = {}) {
  const body = new URLSearchParams(fields);
  const response = await fetch(`${place.issuer}${path}`, { method: 'POST', body, headers });
  const text = await response.text();
  return { ...(text === '' ? {} : JSON.parse(text)), status: response.status } as TokenAnswer;
}

/** A person's trip through consent, to a code that waits to be redeemed. */
async function obtainCode(): Promise<Record<string, string>> {
  const verifier = randomBytes(32).toString('base64url');
  const parameters = new URLSearchParams({
    client_id: 'editor',
    response_type: 'code',
    redirect_uri: REDIRECT_URI,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    resource: place.gateway.ready.resource,
    state: 'state',
  });
  const consent = await place.operator.open(`/authorize?${parameters}`);
  const form = { action: /\/consent$/, having: { decision: 'allow' } };
  const left = await place.operator.submit(consent, form, { purpose: 'Keep the ledger', seconds: '3600' });
  const code = new URL(left.url).searchParams.get('code');
  if (code === null) throw new Error(`No code: ${left.url}`);
  const fields = { grant_type: 'authorization_code', client_id: 'editor', redirect_uri: REDIRECT_URI };
  return { ...fields, code, code_verifier: verifier };
}

const refresh = (token: string | undefined) =>
  post('/token', { grant_type: 'refresh_token', client_id: 'editor', refresh_token: token! });

test('F2: a code that was redeemed stays dead', async () => {
  const code = await obtainCode();
  expect(await post('/token', code)).toMatchObject({ status: 200 });
  await restart();
  expect(await post('/token', code)).toMatchObject({ status: 400, error: 'invalid_grant' });
}, 90_000);

test('F2: a refresh token that was rotated stays dead, and using it ends the family', async () => {
  const first = await post('/token', await obtainCode());
  const second = await refresh(first.refresh_token);
  expect(second).toMatchObject({ status: 200 });
  await restart();
  const third = await refresh(second.refresh_token);
  expect(third).toMatchObject({ status: 200 });
  expect(await refresh(first.refresh_token)).toMatchObject({ status: 400, error: 'invalid_grant' });
  await restart();
  expect(await refresh(third.refresh_token)).toMatchObject({ status: 400, error: 'invalid_grant' });
}, 90_000);

test('F2: what was revoked stays dead: a refresh token, an access token, a task', async () => {
  const revoked = await post('/token', await obtainCode());
  const single = await post('/token', await obtainCode());
  expect((await post('/revoke', { client_id: 'editor', token: revoked.refresh_token! })).status).toBe(200);
  expect((await post('/revoke', { client_id: 'editor', token: single.access_token! })).status).toBe(200);
  const { taskId } = await place.agent.startTask({
    resource: place.gateway.ready.resource,
    tools: ['append'],
    purpose: 'A task that ends',
  });
  const ended = place.agent.authProvider(taskId, place.gateway.ready.resource);
  const tokenOfEnded = await ended.token();
  await place.agent.endTask(taskId);
  await restart();
  expect(await refresh(revoked.refresh_token)).toMatchObject({ status: 400, error: 'invalid_grant' });
  for (const token of [revoked.access_token, single.access_token, tokenOfEnded]) {
    expect(await callWith(token!)).toBe(401);
  }
  await ended.onUnauthorized();
  await expect(ended.token()).rejects.toThrow();
}, 90_000);

/** One request of an MCP client; the status that a token gets. */
async function callWith(token: string): Promise<number> {
  const response = await fetch(place.gateway.ready.resource, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'append', arguments: { line: 'by a dead token' } },
    }),
  });
  await response.text();
  return response.status;
}

async function assertion(secondsAhead = 0): Promise<Record<string, string>> {
  const now = Math.floor(Date.now() / 1000) + secondsAhead;
  const claims = { iss: agentId, sub: agentId, aud: place.issuer, iat: now, exp: now + 60, jti: randomUUID() };
  const key = await importJWK(agentKey, 'ES256');
  return {
    grant_type: 'client_credentials',
    resource: `${place.issuer}/api/v1`,
    scope: 'tasks',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(key),
  };
}

test('F2: a client assertion that was used stays dead, however fast the server is back', async () => {
  const used = await assertion();
  expect(await post('/token', used)).toMatchObject({ status: 200 });
  expect((await post('/token', used)).error).toBe('invalid_client');
  await restart();
  expect((await post('/token', used)).error).toBe('invalid_client');
  expect(await post('/token', await assertion())).toMatchObject({ status: 200 });
}, 90_000);

test('F2: an assertion from the future, which would outlive a restart, is refused at once', async () => {
  expect(await post('/token', await assertion(2))).toMatchObject({ status: 200 });
  expect((await post('/token', await assertion(30))).error).toBe('invalid_client');
});

test('F2: a DPoP proof that was used stays dead', async () => {
  const key = await generateDpopKey();
  const proof = await createDpopProof(key, { htm: 'POST', htu: `${place.issuer}/token` });
  expect(await post('/token', await assertion(), { dpop: proof })).toMatchObject({ status: 200 });
  await restart();
  const again = await post('/token', await assertion(), { dpop: proof });
  expect(again).toMatchObject({ status: 400, error: 'invalid_dpop_proof' });
}, 90_000);
