import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  acceptsTxnChallenge,
  signTxnChallenge,
  type TxnChallengeClaims,
  type TxnChallengeExpectation,
  verifyTxnChallenge,
} from '../../src/wire/txn_challenge_rosomakho_00.ts';

const now = new Date('2026-11-23T12:00:00Z');
const iat = now.getTime() / 1_000;
const claims: Omit<TxnChallengeClaims, 'iat' | 'exp'> = {
  iss: 'https://files.example/mcp',
  aud: 'https://auth.example',
  jti: 'j',
  txn: 'txn_a',
  authorization_details: [
    { type: 'mcp_tool_call', resource: 'https://files.example/mcp', tool: 'write_file', action_digest: 'a'.repeat(43) },
  ],
  reason: 'Writing needs approval.',
  act: { sub: 'agt_a' },
};

let privateKey: CryptoKey;
let expected: TxnChallengeExpectation;

beforeAll(async () => {
  const pair = await generateKeyPair('ES256', { extractable: true });
  privateKey = pair.privateKey;
  const jwk: JWK = { ...(await exportJWK(pair.publicKey)), kid: 'k1' };
  expected = { resource: claims.iss, issuer: claims.aud, keys: [jwk], now };
});

const sign = (changed: object = {}, signing: object = {}) =>
  signTxnChallenge({ ...claims, ...changed }, { key: privateKey, kid: 'k1', now, lifetimeSeconds: 300, ...signing });

/** Any payload under any header, properly signed. */
const forge = (changed: object, header: object = {}) =>
  new SignJWT({ ...claims, iat, exp: iat + 300, ...changed })
    .setProtectedHeader({ alg: 'ES256', typ: 'txn-authz-challenge+jwt', kid: 'k1', ...header })
    .sign(privateKey);

async function refusal(challenge: string, changed: Partial<TxnChallengeExpectation> = {}): Promise<string> {
  const result = await verifyTxnChallenge(challenge, { ...expected, ...changed });
  if (result.ok) throw new Error('accepted');
  expect(result.refusal.code).toBe('challenge_invalid');
  return result.refusal.message;
}

test('what was signed verifies and says the same', async () => {
  const result = await verifyTxnChallenge(await sign(), expected);
  expect(result).toEqual({ ok: true, value: { ...claims, iat, exp: iat + 300 } });
  expect(JSON.parse(Buffer.from((await sign()).split('.')[0]!, 'base64url').toString())).toEqual({
    alg: 'ES256',
    typ: 'txn-authz-challenge+jwt',
    kid: 'k1',
  });
});

test('claims we do not know are ignored', async () => {
  const result = await verifyTxnChallenge(await forge({ reason_uri: 'https://x.example' }), expected);
  expect(result).toEqual({ ok: true, value: { ...claims, iat, exp: iat + 300 } });
});

describe('refused', () => {
  test.each([
    ['another resource', { iss: 'https://other.example/mcp' }, 'its iss is not'],
    ['another issuer', { aud: 'https://other.example' }, 'its aud is not'],
    ['several audiences', { aud: [claims.aud, 'https://other.example'] }, 'unusable: aud'],
    ['no audience', { aud: undefined }, 'its aud is not'],
    ['no txn', { txn: undefined }, 'unusable: txn'],
    ['a txn that is no text', { txn: 1 }, 'unusable: txn'],
    ['no details', { authorization_details: [] }, 'unusable: authorization_details'],
    ['details of another type', { authorization_details: [{ type: 'x' }] }, 'unusable: authorization_details'],
    ['no reason', { reason: undefined }, 'unusable: reason'],
    ['no jti', { jti: undefined }, 'unusable: jti'],
    ['no iat', { iat: undefined }, 'its iat is not'],
    ['no exp', { exp: undefined }, 'its exp is not'],
    ['expired', { iat: iat - 300, exp: iat - 6 }, 'expired'],
    ['from the future', { iat: iat + 60, exp: iat + 120 }, 'in the future'],
    ['too long a life', { exp: iat + 601 }, 'lives longer than 600 s'],
  ])('%s', async (_, changed, what) => expect(await refusal(await forge(changed))).toContain(what));

  test('another type of JWT, so that no other token of the guard passes', async () => {
    expect(await refusal(await forge({}, { typ: 'at+jwt' }))).toContain('its typ is not');
    expect(await refusal(await forge({}, { typ: undefined }))).toContain('its typ is not');
  });

  test('a key that is not registered, by its name and by its signature', async () => {
    const other = await generateKeyPair('ES256', { extractable: true });
    expect(await refusal(await sign({}, { kid: 'k2' }))).toContain('no registered key');
    expect(await refusal(await sign({}, { key: other.privateKey }))).toContain('does not verify');
    expect(await refusal(await sign(), { keys: [] })).toContain('no registered key');
  });

  test('a key inside the challenge is never used', async () => {
    const other = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(other.publicKey);
    const forged = await new SignJWT({ ...claims, iat, exp: iat + 300 })
      .setProtectedHeader({ alg: 'ES256', typ: 'txn-authz-challenge+jwt', kid: 'k1', jwk })
      .sign(other.privateKey);
    expect(await refusal(forged)).toContain('does not verify');
  });

  test('other algorithms and no signature', async () => {
    const [, payload] = (await sign()).split('.');
    const header = (alg: string) =>
      Buffer.from(JSON.stringify({ alg, typ: 'txn-authz-challenge+jwt', kid: 'k1' })).toString('base64url');
    expect(await refusal(`${header('none')}.${payload}.`)).toMatch(/algorithm is not ES256|not a signed JWT/);
    const hmac = await new SignJWT({ ...claims, iat, exp: iat + 300 })
      .setProtectedHeader({ alg: 'HS256', typ: 'txn-authz-challenge+jwt', kid: 'k1' })
      .sign(new TextEncoder().encode(JSON.stringify(expected.keys[0]).padEnd(64)));
    expect(await refusal(hmac)).toContain('algorithm is not ES256');
  });

  test.each(['', 'x', 'a.b.c', `${'a'.repeat(20_000)}.b.c`])('garbage', async (text) => {
    expect(await refusal(text)).toMatch(/not a signed JWT|too long/);
  });

  test('a changed payload', async () => {
    const [header, , signature] = (await sign()).split('.');
    const payload = Buffer.from(JSON.stringify({ ...claims, iat, exp: iat + 300, txn: 'txn_b' })).toString('base64url');
    expect(await refusal(`${header}.${payload}.${signature}`)).toContain('does not verify');
  });
});

test('signing what no verifier would accept throws', async () => {
  await expect(sign({}, { lifetimeSeconds: 601 })).rejects.toThrow('at most 600 s');
  await expect(sign({}, { lifetimeSeconds: 0 })).rejects.toThrow(TypeError);
  await expect(sign({ authorization_details: [] })).rejects.toThrow();
});

test.each([
  ['?1', true],
  [' ?1 ', true],
  ['?1;a=b', true],
  ['?1; a', true],
  ['?0', false],
  ['?1, ?1', false],
  ['?1;a, ?1', false],
  ['1', false],
  ['true', false],
  ['"?1"', false],
  ['?11', false],
  [['?1', '?1'], false],
  [undefined, false],
])('Accept-Txn-Challenge %j asks: %s', (header, asks) => expect(acceptsTxnChallenge(header)).toBe(asks));
