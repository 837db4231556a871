import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';

/** A private ES256 key as a JWK (RFC 7517): JSON, to be kept in a file that only its owner can read. */
export interface PrivateKeyJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly d: string;
}

export interface SigningKey {
  readonly privateKey: CryptoKey;
  /** With `kid` (its RFC 7638 thumbprint), `alg` and `use`; to be published. */
  readonly publicJwk: JWK;
  readonly thumbprint: string;
}

export const SIGNING_ALGORITHM = 'ES256';

export async function generatePrivateKeyJwk(): Promise<PrivateKeyJwk> {
  const { privateKey } = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true });
  const { x, y, d } = await exportJWK(privateKey);
  return { kty: 'EC', crv: 'P-256', x: x!, y: y!, d: d! };
}

/** Throws TypeError for anything but a private P-256 key. */
export async function importSigningKey(jwk: PrivateKeyJwk): Promise<SigningKey> {
  const { kty, crv, x, y, d } = jwk;
  if (kty !== 'EC' || crv !== 'P-256' || [x, y, d].some((member) => typeof member !== 'string' || member === '')) {
    throw new TypeError('The key must be a private P-256 key as a JWK: kty "EC", crv "P-256", x, y and d.');
  }
  const publicKey = { kty, crv, x, y };
  const thumbprint = await calculateJwkThumbprint(publicKey);
  return {
    privateKey: (await importJWK({ ...publicKey, d, alg: SIGNING_ALGORITHM }, SIGNING_ALGORITHM)) as CryptoKey,
    publicJwk: { ...publicKey, kid: thumbprint, alg: SIGNING_ALGORITHM, use: 'sig' },
    thumbprint,
  };
}
