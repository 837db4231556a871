import type { JWK } from 'jose';
import type { KeyLocation } from '../model/federation.ts';
import { REMOTE_KEYS_MAX } from './limits.ts';

/** What every kind of public key consists of (RFC 7518 §6, RFC 8037); anything else, private members too, is left out. */
const PUBLIC_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'x', 'y'],
  OKP: ['crv', 'x'],
  RSA: ['n', 'e'],
};

/**
 * The keys of a key set (RFC 7517 §5) that can verify signatures. Keys of unknown kinds are skipped, as §5 asks; a key set that
 * holds a private or a shared key is none at all. Throws TypeError with what is wrong, for the log.
 */
export function readKeySet(document: unknown, format: KeyLocation['format']): JWK[] {
  const keys = (document as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new TypeError('it is not a key set: it has no list "keys"');
  if (keys.length > REMOTE_KEYS_MAX) throw new TypeError(`it has more than ${REMOTE_KEYS_MAX} keys`);
  return keys.flatMap((key: unknown) => publicKey(key, format) ?? []);
}

function publicKey(key: unknown, format: KeyLocation['format']): JWK | undefined {
  if (typeof key !== 'object' || key === null) throw new TypeError('one of its keys is not an object');
  const jwk = key as Record<string, unknown>;
  if (jwk.kty === 'oct' || 'd' in jwk || 'k' in jwk || 'p' in jwk) {
    throw new TypeError('it publishes a private or a shared key, which everybody knows now: replace that key');
  }
  const members = typeof jwk.kty === 'string' ? PUBLIC_MEMBERS[jwk.kty] : undefined;
  if (members === undefined || !members.every((name) => typeof jwk[name] === 'string')) return undefined;
  // SPIFFE Trust Domain and Bundle §4.2: what a key of a bundle is for.
  const use = format === 'jwt_svid' ? 'jwt-svid' : 'sig';
  if (format === 'jwt_svid' ? jwk.use !== use : jwk.use !== undefined && jwk.use !== use) return undefined;
  const named = (name: 'kid' | 'alg') => (typeof jwk[name] === 'string' ? { [name]: jwk[name] } : {});
  return {
    kty: jwk.kty,
    ...Object.fromEntries(members.map((name) => [name, jwk[name]])),
    ...named('kid'),
    ...named('alg'),
  } as JWK;
}
