import { performance } from 'node:perf_hooks';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import { createSafeFetch, type SafeFetch, SafeFetchError } from '../../src/kernel/safe_fetch.ts';
import { readKeySet } from '../../src/keys/key_set_document.ts';
import { KeysUnreachable, RemoteKeySets } from '../../src/keys/remote_key_sets.ts';
import { ForeignIssuer } from '../support/foreign_issuer.ts';

const LOCATION = { issuer: 'https://keys.example', jwksUri: 'https://keys.example/jwks', format: 'jwks' } as const;

let one: JWK;
let two: JWK;

beforeAll(async () => {
  [one, two] = (await Promise.all(
    ['one', 'two'].map(async (kid) => ({ ...(await exportJWK((await generateKeyPair('ES256')).publicKey)), kid })),
  )) as [JWK, JWK];
});
afterEach(() => vi.restoreAllMocks());

/** A publisher whose answer and whose clock a test sets. */
function publisher(keys: JWK[], cacheControl = '') {
  const at = { keys, isDown: false, asked: 0, cacheControl };
  let skippedMs = 0;
  const realNow = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => realNow() + skippedMs);
  const fetch: SafeFetch = async () => {
    at.asked += 1;
    if (at.isDown) throw new SafeFetchError('failed');
    const body = Buffer.from(JSON.stringify({ keys: at.keys }));
    return { status: 200, headers: { 'cache-control': at.cacheControl }, body };
  };
  const sets = new RemoteKeySets(fetch, silentLogger);
  const kids = async (kid?: string) => (await sets.keys(LOCATION, kid)).map((key) => key.kid);
  return { at, kids, pass: (seconds: number) => (skippedMs += seconds * 1000) };
}

test('a key set is read once for many, and again when it is old, whatever its publisher says', async () => {
  const { at, kids, pass } = publisher([one], 'public, max-age=31536000');
  await Promise.all(Array.from({ length: 20 }, () => kids('one')));
  expect(at.asked).toBe(1);
  pass(599);
  await kids('one');
  expect(at.asked).toBe(1);
  at.keys = [two];
  pass(2);
  expect(await kids('two')).toEqual(['two']);
  expect(at.asked).toBe(2);
});

test('an unknown key id makes it be read again, but not by every request', async () => {
  const { at, kids, pass } = publisher([one]);
  await kids('one');
  for (let index = 0; index < 10; index += 1) await kids(`unknown-${index}`);
  expect(at.asked).toBe(1);
  at.keys = [one, two];
  pass(16);
  expect(await kids('two')).toEqual(['one', 'two']);
  expect(at.asked).toBe(2);
});

test('while the publisher does not answer, known keys go on for an hour, and unknown ones are an outage', async () => {
  const { at, kids, pass } = publisher([one]);
  await kids('one');
  at.isDown = true;
  pass(700);
  expect(await kids('one')).toEqual(['one']);
  await expect(kids('two')).rejects.toThrow(KeysUnreachable);
  // It is not asked by every request meanwhile.
  const { asked } = at;
  await expect(kids('two')).rejects.toThrow(KeysUnreachable);
  expect(at.asked).toBe(asked);
  pass(3_600);
  await expect(kids('one')).rejects.toThrow(KeysUnreachable);
});

test('a key set with a private or a shared key, too many keys, or no list is none', () => {
  for (const document of [
    { keys: [{ ...one, d: 'x' }] },
    { keys: [{ kty: 'oct', k: 'c2VjcmV0' }] },
    { keys: Array.from({ length: 101 }, () => one) },
    { keys: ['x'] },
    {},
    null,
  ]) {
    expect(() => readKeySet(document, 'jwks')).toThrow(TypeError);
  }
  // RFC 7517 §5: what is not understood is skipped; other members of a key are not kept.
  const odd = { keys: [{ kty: 'LATTICE' }, { ...one, use: 'enc' }, { ...two, x5u: 'http://x', use: 'sig' }] };
  expect(readKeySet(odd, 'jwks').map((key) => Object.keys(key).sort())).toEqual([['crv', 'kid', 'kty', 'x', 'y']]);
});

test('of a SPIFFE bundle only keys of JWT-SVIDs count', () => {
  const bundle = { spiffe_sequence: 1, keys: [{ ...one, use: 'x509-svid' }, { ...two, use: 'jwt-svid' }, one] };
  expect(readKeySet(bundle, 'jwt_svid').map((key) => key.kid)).toEqual(['two']);
});

test('discovery of another issuer, an address that is private, and one that redirects are no keys', async () => {
  const real = await ForeignIssuer.start();
  try {
    const near = { issuer: `${real.issuer}/`, jwksUri: null, format: 'jwks' } as const;
    const open = new RemoteKeySets(createSafeFetch({ allowedHosts: ['127.0.0.1:*'] }), silentLogger);
    await expect(open.keys(near, 'key-1')).rejects.toThrow(KeysUnreachable);
    expect((await open.keys({ ...near, issuer: real.issuer }, 'key-1')).map((key) => key.kid)).toEqual(['key-1']);
    const guarded = new RemoteKeySets(createSafeFetch(), silentLogger);
    for (const jwksUri of [
      `${real.issuer}/jwks`,
      'https://169.254.169.254/keys',
      'https://127.1/',
      'file:///etc/passwd',
    ]) {
      await expect(guarded.keys({ ...LOCATION, jwksUri }, 'x')).rejects.toThrow(KeysUnreachable);
    }
    expect((await real.fetched()).jwks).toBe(1);
  } finally {
    await real.stop();
  }
});
