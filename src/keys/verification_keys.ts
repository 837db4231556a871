import { createLocalJWKSet, type JWTVerifyGetKey } from 'jose';
import { type Keyring, KeysOutdated } from './keyring.ts';

/** The public keys that access tokens are verified with, always those that are in force. */
export interface VerificationKeys {
  /** For jose. An unknown id is looked for in PostgreSQL: another process may have made the key a moment ago. */
  readonly find: JWTVerifyGetKey;
  /** Whether what this key signed may still be believed. Throws `KeysOutdated` when that is not known. */
  verifies(kid: string | undefined): boolean;
}

export function tokenVerificationKeys(keyring: Keyring): VerificationKeys {
  const load = () => {
    const keys = keyring.published('token');
    return { jwks: createLocalJWKSet({ keys }), kids: new Set(keys.map((key) => key.kid)) };
  };
  let current = load();
  keyring.onChange(() => {
    current = load();
  });
  const assertCurrent = () => {
    if (!keyring.isCurrent())
      throw new KeysOutdated('Which keys verify is not known: they could not be read for too long.');
  };
  return {
    async find(header, token) {
      assertCurrent();
      if (!current.kids.has(header.kid)) await keyring.refreshForUnknown();
      return current.jwks(header, token);
    },
    verifies(kid) {
      assertCurrent();
      return current.kids.has(kid);
    },
  };
}
