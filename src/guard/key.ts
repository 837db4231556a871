import { generatePrivateKeyJwk, type PrivateKeyJwk } from '../wire/signing_key.ts';

/** The private key of a guard: a JWK (RFC 7517, P-256, ES256). JSON; store it where only the guard can read it. */
export type GuardKey = PrivateKeyJwk;

/**
 * Makes a key for a guard. The key is its identity: keep it, since another one is another registration.
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs';
 * import { generateGuardKey } from 'countersign/guard';
 *
 * writeFileSync('guard-key.json', JSON.stringify(await generateGuardKey()), { mode: 0o600, flag: 'wx' });
 * ```
 */
export function generateGuardKey(): Promise<GuardKey> {
  return generatePrivateKeyJwk();
}
