import { randomBytes } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { type Selectable, sql } from 'kysely';
import { append } from '../events/append.ts';
import type { KeysTable } from '../store/postgres/tables.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';

/** The vault's purpose for private keys at rest. */
const KEY_PURPOSE = 'provider-key';
const COOKIE_KEY_BYTES = 32;

export interface ProviderKeys {
  /** Private ES256 keys, the one that signs first. Retired keys stay, so that what they signed still verifies. */
  readonly tokenKeys: { readonly keys: readonly JWK[] };
  /** The first signs cookies, all verify. */
  readonly cookieKeys: readonly string[];
}

/** Loads the keys of the OAuth engine and makes those that are missing. Of several processes that start at once, one makes them. */
export async function loadProviderKeys(store: Store): Promise<ProviderKeys> {
  return transact(store, async (tx, afterCommit) => {
    await sql`select pg_advisory_xact_lock(hashtext('countersign:provider-keys'))`.execute(tx);
    const tokenRows = await keysFor(store, tx, afterCommit, 'token', makeTokenKey);
    const cookieRows = await keysFor(store, tx, afterCommit, 'cookie', makeCookieKey);
    return {
      tokenKeys: { keys: tokenRows.map((row) => JSON.parse(openKey(store, row)) as JWK) },
      cookieKeys: cookieRows.map((row) => openKey(store, row)),
    };
  });
}

type KeyRow = Selectable<KeysTable>;
interface NewKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly publicJwk: JWK;
  readonly secret: string;
}

/** The active key first, then retired ones, newest first. */
async function keysFor(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  purpose: 'token' | 'cookie',
  make: () => Promise<NewKey>,
): Promise<KeyRow[]> {
  const rows = await tx
    .selectFrom('keys')
    .selectAll()
    .where('purpose', '=', purpose)
    .orderBy(sql`state = 'active'`, 'desc')
    .orderBy('created_at', 'desc')
    .execute();
  if (rows[0]?.state === 'active') return rows;
  const key = await make();
  const row = await tx
    .insertInto('keys')
    .values({
      kid: key.kid,
      purpose,
      algorithm: key.algorithm,
      public_jwk: JSON.stringify(key.publicJwk),
      private_sealed: store.vault.seal(KEY_PURPOSE, key.secret),
      state: 'active',
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await append(store, tx, afterCommit, { kind: 'key.made', ids: { kid: key.kid, purpose, algorithm: key.algorithm } });
  return [row, ...rows];
}

function openKey(store: Store, row: KeyRow): string {
  return store.vault.open(KEY_PURPOSE, row.private_sealed).toString('utf8');
}

async function makeTokenKey(): Promise<NewKey> {
  const pair = await generateKeyPair('ES256', { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const named = { kid, alg: 'ES256', use: 'sig' };
  const privateJwk = { ...(await exportJWK(pair.privateKey)), ...named };
  return { kid, algorithm: 'ES256', publicJwk: { ...publicJwk, ...named }, secret: JSON.stringify(privateJwk) };
}

async function makeCookieKey(): Promise<NewKey> {
  const kid = `cookie-${randomBytes(8).toString('hex')}`;
  return { kid, algorithm: 'HS256', publicJwk: {} as JWK, secret: randomBytes(COOKIE_KEY_BYTES).toString('base64url') };
}
