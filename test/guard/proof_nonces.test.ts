import { afterAll, beforeAll, expect, test } from 'vitest';
import { proofNonces } from '../../src/guard/proof_nonces.ts';
import { createDpopProof, dpopThumbprint, generateDpopKey } from '../../src/wire/dpop_rfc9449.ts';
import { generatePrivateKeyJwk } from '../../src/wire/signing_key.ts';
import { answerOf, type GuardedServer, startGuardedServer } from './guarded_server.ts';

let server: GuardedServer;
beforeAll(async () => {
  server = await startGuardedServer();
});
afterAll(() => server.close());

const READ = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'read_notes', arguments: {} },
});

test('while the server asks for nonces, a proof without one is told it before anything is done, and works with it', async () => {
  const key = await generateDpopKey();
  const token = await server.issuer.token({ claims: { cnf: { jkt: await dpopThumbprint(key.publicJwk) } } });
  const send = async (nonce?: string) => {
    const dpop = await createDpopProof(key, { htm: 'POST', htu: server.resource, accessToken: token, nonce });
    return server.post(READ, { authorization: `DPoP ${token}`, dpop });
  };
  expect((await send()).status).toBe(200);
  server.issuer.leases.forge = (content) => ({ ...content, dpop_nonces: true });
  server.issuer.leases.wake();
  let refused = await send();
  // Until the guard has the lease that says so.
  for (let left = 200; refused.status === 200 && left > 0; left -= 1) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    refused = await send();
  }
  expect(refused.status).toBe(401);
  expect(refused.headers.get('www-authenticate')).toMatch(/^DPoP error="use_dpop_nonce"/);
  const nonce = refused.headers.get('dpop-nonce');
  expect(nonce).toMatch(/^[\w-]{43}$/);
  const asked = server.issuer.asked.length;
  expect((await send('A'.repeat(43))).headers.get('dpop-nonce')).toBe(nonce);
  expect(server.issuer.asked.length).toBe(asked);
  expect((await answerOf(await send(nonce!))).result.content[0]!.text).toBe('no notes yet');
  // A bearer token has no proof, and needs no nonce.
  const bearer = await server.post(READ, { authorization: `Bearer ${await server.issuer.token()}` });
  expect(bearer.status).toBe(200);
});

test('a nonce is known to every process with the key of the guard, for some minutes', async () => {
  const [key, other] = [await generatePrivateKeyJwk(), await generatePrivateKeyJwk()];
  const one = proofNonces(key, () => true);
  const now = new Date('2026-11-23T12:00:30Z');
  const later = (minutes: number) => new Date(now.getTime() + minutes * 60_000);
  const nonce = String(one.problem(undefined, now)?.detail?.dpop_nonce);
  const twin = proofNonces(key, () => true);
  for (const minutes of [-1, 0, 1, 3]) expect(twin.problem(nonce, later(minutes)), `${minutes}`).toBeUndefined();
  expect(twin.problem(nonce, later(5))?.code).toBe('dpop_nonce_required');
  expect(twin.problem(nonce, later(-3))?.code).toBe('dpop_nonce_required');
  expect(proofNonces(other, () => true).problem(nonce, now)?.code).toBe('dpop_nonce_required');
  expect(proofNonces(other, () => false).problem(undefined, now)).toBeUndefined();
});
