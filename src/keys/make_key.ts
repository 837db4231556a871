import { randomBytes } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { sql } from 'kysely';
import { append } from '../events/append.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { Vault } from '../kernel/vault.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import { SIGNING_ALGORITHM } from '../wire/signing_key.ts';
import { COOKIE_KEY_BYTES, type SigningPurpose } from './limits.ts';

/** The vault's purpose for private keys at rest. */
export const KEY_VAULT_PURPOSE = 'provider-key';

interface KeyMaterial {
  readonly kid: string;
  readonly algorithm: string;
  readonly publicJwk: JsonObject;
  readonly secret: string;
}

/** One at a time changes the keys, of all processes. Held until the transaction ends. */
export async function lockKeys(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('countersign:keys'))`.execute(tx);
}

/** Makes a key that signs from `activatesAt`; the caller holds the lock and ends the ones before it. */
export async function makeKey(
  store: Pick<Store, 'vault' | 'ephemeral'>,
  tx: Tx,
  afterCommit: AfterCommit,
  key: { readonly purpose: SigningPurpose; readonly activatesAt: Date },
): Promise<string> {
  const { purpose, activatesAt } = key;
  const { kid, algorithm, publicJwk, secret } = purpose === 'cookie' ? newCookieKey() : await newSigningKey();
  await tx
    .insertInto('keys')
    .values({
      kid,
      purpose,
      algorithm,
      public_jwk: JSON.stringify(publicJwk),
      private_sealed: sealKey(store.vault, secret),
      state: 'active',
      activates_at: activatesAt,
    })
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'key.made',
    ids: { kid, purpose, algorithm, activates_at: activatesAt.toISOString() },
  });
  announceKeys(store, afterCommit);
  return kid;
}

/** Every process reads the keys again once this has committed. */
export function announceKeys(store: Pick<Store, 'ephemeral'>, afterCommit: AfterCommit): void {
  afterCommit(() => store.ephemeral.publish(CHANNELS.keys, ''));
}

function sealKey(vault: Vault, secret: string): Buffer {
  return vault.seal(KEY_VAULT_PURPOSE, secret);
}

export function openKey(vault: Vault, sealed: Buffer): string {
  return vault.open(KEY_VAULT_PURPOSE, sealed).toString('utf8');
}

async function newSigningKey(): Promise<KeyMaterial> {
  const pair = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const named = { kid, alg: SIGNING_ALGORITHM, use: 'sig' };
  const privateJwk = { ...(await exportJWK(pair.privateKey)), ...named };
  return {
    kid,
    algorithm: SIGNING_ALGORITHM,
    publicJwk: { ...publicJwk, ...named } as JsonObject,
    secret: JSON.stringify(privateJwk),
  };
}

function newCookieKey(): KeyMaterial {
  const kid = `cookie-${randomBytes(8).toString('hex')}`;
  return { kid, algorithm: 'HS256', publicJwk: {}, secret: randomBytes(COOKIE_KEY_BYTES).toString('base64url') };
}
