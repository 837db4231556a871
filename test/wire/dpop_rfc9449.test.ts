import { createHash } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  createDpopProof,
  type DpopExpectation,
  type DpopKey,
  dpopThumbprint,
  generateDpopKey,
  verifyDpopProof,
} from '../../src/wire/dpop_rfc9449.ts';

const now = new Date('2026-11-23T12:00:00Z');
const iat = now.getTime() / 1_000;
const expected: DpopExpectation = { htm: 'POST', htu: 'https://a.example/mcp', now };
const accessToken = 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU';

let key: DpopKey;
let other: DpopKey;
beforeAll(async () => {
  key = await generateDpopKey();
  other = await generateDpopKey('Ed25519');
});

const make = (changed: object = {}) =>
  createDpopProof(key, { htm: 'POST', htu: 'https://a.example/mcp', now, ...changed });

const forge = (payload: object = {}, header: object = {}) =>
  new SignJWT({ jti: 'j', htm: 'POST', htu: 'https://a.example/mcp', iat, ...payload })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.publicJwk, ...header })
    .sign(key.privateKey);

async function refusal(proof: string | string[] | undefined, changed: Partial<DpopExpectation> = {}): Promise<string> {
  const result = await verifyDpopProof(proof, { ...expected, ...changed });
  if (result.ok) throw new Error('accepted');
  expect(result.refusal.code).toBe('dpop_proof_invalid');
  return result.refusal.message;
}

describe('a proof that was made here verifies', () => {
  test('and carries just what RFC 9449 §4.2 names', async () => {
    const proof = await make({ accessToken, nonce: 'n', htu: 'https://a.example/mcp?x=1#y' });
    expect(decodeProtectedHeader(proof)).toEqual({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.publicJwk });
    const payload = decodeJwt(proof);
    expect(payload).toEqual({
      jti: expect.stringMatching(/^[\w-]{22}$/),
      htm: 'POST',
      htu: 'https://a.example/mcp',
      iat,
      ath: createHash('sha256').update(accessToken).digest('base64url'),
      nonce: 'n',
    });
    const jkt = await dpopThumbprint(key.publicJwk);
    expect(await verifyDpopProof(proof, { ...expected, accessToken, jkt, nonce: 'n' })).toEqual({
      ok: true,
      value: { jkt, jti: payload.jti, iat, nonce: 'n' },
    });
  });

  test('with an Ed25519 key', async () => {
    const result = await verifyDpopProof(await createDpopProof(other, { ...expected }), expected);
    expect(result).toMatchObject({ ok: true, value: { jkt: await dpopThumbprint(other.publicJwk) } });
  });

  test('and every proof has another jti', async () => {
    expect(decodeJwt(await make()).jti).not.toBe(decodeJwt(await make()).jti);
  });

  test.each(['https://A.example/mcp', 'https://a.example:443/mcp?q', 'https://a.example/x/../mcp'])(
    'at %s, which is the same address',
    async (htu) => {
      expect((await verifyDpopProof(await make(), { ...expected, htu })).ok).toBe(true);
      expect((await verifyDpopProof(await forge({ htu }), expected)).ok).toBe(true);
    },
  );

  test('300 s back and 5 s ahead', async () => {
    for (const seconds of [-300, 5]) {
      expect((await verifyDpopProof(await forge({ iat: iat + seconds }), expected)).ok).toBe(true);
    }
  });
});

describe('refused in the order of RFC 9449 §4.3', () => {
  test('step 1: no header, or two', async () => {
    const proof = await make();
    expect(await refusal(undefined)).toContain('exactly one DPoP header');
    expect(await refusal([proof, proof])).toContain('exactly one DPoP header');
    expect(await refusal(`${proof}, ${proof}`)).toContain('refused');
  });

  test.each(['', 'x', 'a.b.c', '..', 'a'.repeat(9_000)])('step 2: no JWT', async (text) => {
    expect(await refusal(text)).toMatch(/not a signed JWT|too long/);
  });

  test.each(['jti', 'htm', 'htu', 'iat'])('step 3: no %s, or of another type', async (name) => {
    expect(await refusal(await forge({ [name]: undefined }))).toContain(name);
    expect(await refusal(await forge({ [name]: ['x'] }))).toContain('refused');
    expect(await refusal(await forge({ [name]: '' }))).toContain('refused');
  });

  test('step 4: another type', async () => {
    expect(await refusal(await forge({}, { typ: 'JWT' }))).toContain('typ dpop+jwt');
    expect(await refusal(await forge({}, { typ: undefined }))).toContain('typ dpop+jwt');
  });

  test('step 5: another algorithm', async () => {
    const rsa = await generateKeyPair('RS256', { extractable: true });
    const signed = await new SignJWT({ jti: 'j', htm: 'POST', htu: expected.htu, iat })
      .setProtectedHeader({ alg: 'RS256', typ: 'dpop+jwt', jwk: await exportJWK(rsa.publicKey) })
      .sign(rsa.privateKey);
    expect(await refusal(signed)).toContain('alg ES256');
    const [header, payload] = (await make()).split('.');
    const none = { ...JSON.parse(Buffer.from(header!, 'base64url').toString()), alg: 'none' };
    expect(await refusal(`${Buffer.from(JSON.stringify(none)).toString('base64url')}.${payload}.`)).toContain(
      'alg ES256',
    );
  });

  test('step 6: signed by another key, or with a key that is none', async () => {
    const stranger = await generateDpopKey();
    expect(await refusal(await forge({}, { jwk: stranger.publicJwk }))).toContain('does not verify');
    expect(await refusal(await forge({}, { jwk: { ...key.publicJwk, x: 'AAAA' } }))).toContain('cannot be used');
    expect(await refusal(await forge({}, { jwk: other.publicJwk }))).toContain('not a key of its alg');
    expect(await refusal(await forge({}, { jwk: undefined }))).toContain('public key in jwk');
    expect(await refusal(await forge({}, { jwk: { kty: 'oct', k: 'AAAA' } }))).toContain('private key');
  });

  test('step 7: a private key in the header', async () => {
    const pair = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(pair.privateKey);
    const proof = await new SignJWT({ jti: 'j', htm: 'POST', htu: expected.htu, iat })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
      .sign(pair.privateKey);
    expect(await refusal(proof)).toContain('private key');
  });

  test('step 8: another method, also in other letters', async () => {
    expect(await refusal(await make(), { htm: 'GET' })).toContain('another method');
    expect(await refusal(await forge({ htm: 'post' }))).toContain('another method');
  });

  test.each([
    'http://a.example/mcp',
    'https://b.example/mcp',
    'https://a.example:8443/mcp',
    'https://a.example/mcp/',
    'https://a.example/MCP',
    '/mcp',
    'file:///mcp',
  ])('step 9: the address %s', async (htu) => expect(await refusal(await forge({ htu }))).toContain('htu'));

  test('step 10: another nonce, or none', async () => {
    expect(await refusal(await make({ nonce: 'old' }), { nonce: 'new' })).toContain('DPoP-Nonce');
    expect(await refusal(await make(), { nonce: 'new' })).toContain('DPoP-Nonce');
  });

  test('step 11: too old, or from the future', async () => {
    expect(await refusal(await forge({ iat: iat - 301 }))).toContain('too old');
    expect(await refusal(await forge({ iat: iat + 6 }))).toContain('in the future');
  });

  test('step 12: another token, no token, or another key than the token is bound to', async () => {
    expect(await refusal(await make({ accessToken: 'other' }), { accessToken })).toContain('ath');
    expect(await refusal(await make(), { accessToken })).toContain('ath');
    const jkt = await dpopThumbprint(other.publicJwk);
    expect(await refusal(await make({ accessToken }), { accessToken, jkt })).toContain('bound to another key');
  });
});
