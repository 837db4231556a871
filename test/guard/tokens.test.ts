import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDpopProof, dpopThumbprint, generateDpopKey } from '../../src/wire/dpop_rfc9449.ts';
import { generatePrivateKeyJwk, importSigningKey } from '../../src/wire/signing_key.ts';
import { answerOf, type GuardedServer, startGuardedServer } from './guarded_server.ts';

let server: GuardedServer;
beforeAll(async () => {
  server = await startGuardedServer();
});
afterAll(() => server.close());

const PING = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
const READ = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'read_notes', arguments: {} },
});

async function refusedWith(token: string | null): Promise<string> {
  const asked = server.issuer.asked.length;
  const response = await fetch(server.resource, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token === null ? {} : { authorization: token }) },
    body: READ,
  });
  expect(response.status).toBe(401);
  expect(server.issuer.asked.length, 'nothing was asked, and so nothing done').toBe(asked);
  const header = response.headers.get('www-authenticate')!;
  const at = new URL(server.resource);
  expect(header).toContain(`resource_metadata="${at.origin}/.well-known/oauth-protected-resource/mcp"`);
  expect(header).toContain('scope="mcp:tools"');
  const { error } = (await response.json()) as { error: { data: { error: string } } };
  return error.data.error;
}

test('no token, and what is no token', async () => {
  expect(await refusedWith(null)).toBe('token_missing');
  expect(await refusedWith('Basic YTpi')).toBe('token_invalid');
  expect(await refusedWith('Bearer x.y.z')).toBe('token_invalid');
});

test('an expired token, another audience, several audiences, another issuer, another type', async () => {
  const { issuer } = server;
  expect(await refusedWith(`Bearer ${await issuer.token({ seconds: -10 })}`)).toBe('token_expired');
  expect(await refusedWith(`Bearer ${await issuer.token({ claims: { aud: 'https://other.example/mcp' } })}`)).toBe(
    'token_wrong_audience',
  );
  const several = await issuer.token({ claims: { aud: [server.resource, 'https://other.example'] } });
  expect(await refusedWith(`Bearer ${several}`)).toBe('token_wrong_audience');
  expect(await refusedWith(`Bearer ${await issuer.token({ claims: { iss: 'https://evil.example' } })}`)).toBe(
    'token_invalid',
  );
  expect(await refusedWith(`Bearer ${await issuer.token({ typ: 'JWT' })}`)).toBe('token_invalid');
});

test('a token signed by a key the issuer does not have', async () => {
  const key = await importSigningKey(await generatePrivateKeyJwk());
  expect(await refusedWith(`Bearer ${await server.issuer.token({ key })}`)).toBe('token_invalid');
});

test('a token is refused once it expires, also when its verdict is remembered', async () => {
  const token = await server.issuer.token({ seconds: 1 });
  const headers = { authorization: `Bearer ${token}` };
  expect((await server.post(PING, headers)).status).toBe(200);
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  expect(await refusedWith(`Bearer ${token}`)).toBe('token_expired');
});

test('a bound token needs its scheme, its key, and a proof that was never used', async () => {
  const key = await generateDpopKey();
  const jkt = await dpopThumbprint(key.publicJwk);
  const token = await server.issuer.token({ claims: { cnf: { jkt } } });
  const proofFor = (htu: string) => createDpopProof(key, { htm: 'POST', htu, accessToken: token });
  expect(await refusedWith(`Bearer ${token}`)).toBe('dpop_proof_invalid');
  expect(await refusedWith(`DPoP ${token}`)).toBe('dpop_proof_invalid');
  const elsewhere = await server.post(PING, {
    authorization: `DPoP ${token}`,
    dpop: await proofFor('https://other.example/mcp'),
  });
  expect(elsewhere.status).toBe(401);
  const dpop = await proofFor(server.resource);
  const first = await server.post(READ, { authorization: `DPoP ${token}`, dpop });
  expect((await answerOf(first)).result.content[0]!.text).toBe('no notes yet');
  const evaluated = server.issuer.asked.at(-1)!.body as { caller: { dpop_jkt: string } };
  expect(evaluated.caller.dpop_jkt).toBe(jkt);
  const again = await server.post(READ, { authorization: `DPoP ${token}`, dpop });
  expect(again.status).toBe(401);
  expect(again.headers.get('www-authenticate')).toMatch(/^DPoP error="invalid_dpop_proof"/);
});

test('T35 the id of a step-up, as a token or in the arguments, gives nothing', async () => {
  await server.call('write_note', { text: 'T35' });
  const stepUp = await server.issuer.nextOpen();
  expect(await refusedWith(`Bearer ${stepUp.id}`)).toBe('token_invalid');
  const answer = await answerOf(await server.call('write_note', { text: 'T35', step_up: stepUp.id }));
  expect(answer.result.isError).toBe(true);
  expect(server.runs).toHaveLength(0);
});

test('the metadata names the issuer, and the keys are served', async () => {
  const { origin } = new URL(server.resource);
  for (const path of ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-protected-resource']) {
    const metadata = (await (await fetch(`${origin}${path}`)).json()) as Record<string, unknown>;
    expect(metadata).toMatchObject({
      resource: server.resource,
      authorization_servers: [server.issuer.url],
      scopes_supported: ['mcp:tools'],
      bearer_methods_supported: ['header'],
    });
    expect(metadata.countersign_registration).toBeUndefined();
    const keys = (await (await fetch(String(metadata.txn_challenge_jwks_uri))).json()) as { keys: object[] };
    expect(keys.keys[0]).toHaveProperty('kid');
    expect(keys.keys[0]).not.toHaveProperty('d');
  }
});
