import { createLocalJWKSet, SignJWT } from 'jose';
import type { Context } from 'koa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TokenVerifier } from '../../src/api/bearer.ts';
import { createMemoryEphemeralStore } from '../../src/store/memory/ephemeral.ts';
import { createDpopProof, type DpopKey, dpopThumbprint, generateDpopKey } from '../../src/wire/dpop_rfc9449.ts';
import { generatePrivateKeyJwk, importSigningKey } from '../../src/wire/signing_key.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

// Whether a proof was used is forgotten with the memory: who asks with one from before makes another.

const AUDIENCE = 'http://localhost:9400/guard/v1';
const PATH = '/guard/v1/redeem';
let database: TestDatabase;
let dpopKey: DpopKey;
beforeAll(async () => {
  [database, dpopKey] = await Promise.all([createTestDatabase(), generateDpopKey()]);
});
afterAll(() => database.drop());

/** A memory that begins at `since()`, asked whenever somebody compares. */
function memory(since: () => Date, onMark = () => {}) {
  const store = createMemoryEphemeralStore();
  return {
    ...store,
    get remembersSince() {
      return since();
    },
    putIfAbsent: async (...args: Parameters<typeof store.putIfAbsent>) => {
      onMark();
      return store.putIfAbsent(...args);
    },
  };
}

async function ask(ephemeral: ReturnType<typeof memory>) {
  const store = createTestStore(database, { ephemeral });
  const jwk = await generatePrivateKeyJwk();
  const { d: _, ...publicJwk } = jwk;
  const find = createLocalJWKSet({ keys: [{ ...publicJwk, kid: 'k' }] });
  const verifier = new TokenVerifier(store, { find, verifies: () => true });
  const key = await importSigningKey(jwk);
  const token = await new SignJWT({
    client_id: 'guard',
    scope: 'guard',
    cnf: { jkt: await dpopThumbprint(dpopKey.publicJwk) },
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'k' })
    .setIssuer(store.issuer)
    .setAudience(AUDIENCE)
    .setSubject('guard')
    .setJti('token')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(key.privateKey);
  const htu = `${new URL(store.issuer).origin}${PATH}`;
  const dpop = await createDpopProof(dpopKey, { htm: 'POST', htu, accessToken: token });
  const ctx = {
    ...{ method: 'POST', path: PATH, req: { headers: { dpop } } },
    get: (name: string) => (name === 'Authorization' ? `DPoP ${token}` : ''),
  } as unknown as Context;
  return verifier.authenticate(ctx, { audience: AUDIENCE, scope: 'guard', isProofRequired: true });
}

const HOUR_MS = 3_600_000;
const anHourAgo = () => new Date(Date.now() - HOUR_MS);
const inAMinute = () => new Date(Date.now() + 60_000);
const refusedProof = { ok: false, refusal: { code: 'dpop_proof_invalid' } };

test('a proof that is younger than the memory counts', async () => {
  expect(await ask(memory(anHourAgo))).toMatchObject({ ok: true });
});

test('one that is older is refused, although nobody knows it', async () => {
  expect(await ask(memory(inAMinute))).toMatchObject(refusedProof);
});

test('so is one of which its own mark finds out that the memory began anew', async () => {
  let since = anHourAgo();
  const found = memory(
    () => since,
    () => {
      since = inAMinute();
    },
  );
  expect(await ask(found)).toMatchObject(refusedProof);
});
