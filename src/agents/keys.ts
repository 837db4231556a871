import { calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import { sql } from 'kysely';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { KEYS_PER_AGENT_MAX } from './limits.ts';

const COORDINATE_BYTES = 32;

/** A public key as it is kept: with the time it was listed first (OpenID Federation 1.0 §8.7.2 names the member `iat`). */
export interface ListedKey extends JWK {
  readonly iat: number;
}

/**
 * Checks public keys of `private_key_jwt` and keeps nothing of them but the key. One that is among `known` keeps its time,
 * so that listing an old key again does not make it younger.
 */
export async function readPublicKeys(
  keys: readonly JWK[],
  now: Date,
  known: readonly ListedKey[] = [],
): Promise<Result<ListedKey[], Refusal>> {
  if (keys.length === 0 || keys.length > KEYS_PER_AGENT_MAX) {
    return refused(refusal('request_invalid', `Give 1 to ${KEYS_PER_AGENT_MAX} public keys as JWKs (ES256).`));
  }
  const clean: ListedKey[] = [];
  for (const { kty, crv, x, y, kid, d } of keys) {
    if (d !== undefined) {
      return refused(
        refusal('request_invalid', 'A private key was sent ("d"). Send public keys only, and replace that key.'),
      );
    }
    if (kty !== 'EC' || crv !== 'P-256' || typeof x !== 'string' || typeof y !== 'string') {
      return refused(refusal('request_invalid', 'Keys must be P-256 public keys (ES256) as JWKs.'));
    }
    if (kid !== undefined && typeof kid !== 'string') {
      return refused(refusal('request_invalid', 'The "kid" of a key must be a text.'));
    }
    if (!(await isOnCurve({ kty, crv, x, y }))) {
      return refused(refusal('request_invalid', 'A key is no point of the curve P-256.'));
    }
    if (!isCanonical(x) || !isCanonical(y)) {
      return refused(refusal('request_invalid', 'A key is not written as RFC 7515 §2 says: base64url of 32 bytes.'));
    }
    if (clean.some((one) => isSameKey(one, { x, y }))) {
      return refused(refusal('request_invalid', 'A key is listed twice.'));
    }
    const iat = known.find((one) => isSameKey(one, { x, y }))?.iat ?? Math.floor(now.getTime() / 1000);
    clean.push({ kty, crv, x, y, alg: 'ES256', use: 'sig', iat, ...(kid === undefined ? {} : { kid }) });
  }
  return accepted(clean);
}

async function isOnCurve(key: JWK): Promise<boolean> {
  try {
    await importJWK(key, 'ES256');
    return true;
  } catch {
    return false;
  }
}

/** One key has one spelling, so that neither one in use elsewhere nor an old one passes for a new one. */
function isCanonical(coordinate: string): boolean {
  const bytes = Buffer.from(coordinate, 'base64url');
  return bytes.byteLength === COORDINATE_BYTES && bytes.toString('base64url') === coordinate;
}

function isSameKey(one: JWK, other: { readonly x: string; readonly y: string }): boolean {
  return one.x === other.x && one.y === other.y;
}

/** Since when the oldest of these keys is listed: what the deadline for changing keys counts from. */
export function oldestKey(keys: readonly ListedKey[]): Date {
  return new Date(Math.min(...keys.map((key) => key.iat)) * 1000);
}

/** The keys of a client's metadata. Those of a release before 0.2 have no time and count from `since`. */
export function listedKeys(metadata: JsonObject, since: Date): ListedKey[] {
  const { jwks } = metadata as { jwks?: { keys?: JWK[] } };
  return (jwks?.keys ?? []).map((key) => ({ iat: Math.floor(since.getTime() / 1000), ...key }));
}

/** Whether it proves who it is by keys that are listed here, whose age is known. */
export async function hasListedKeys(tx: Tx, clientId: string): Promise<boolean> {
  const client = await tx
    .selectFrom('oauth_clients')
    .select('metadata')
    .where('client_id', '=', clientId)
    .executeTakeFirst();
  return client !== undefined && listedKeys(client.metadata, new Date()).length > 0;
}

/**
 * Whether another client lists one of these keys. An agent has keys of its own: whoever holds a shared one is several
 * agents at once, and replacing it for one leaves it in force for the others.
 */
export async function areKeysTaken(tx: Tx, keys: readonly JWK[], clientId: string | null): Promise<boolean> {
  // One at a time: two that bring one key at once would both find it free.
  await sql`select pg_advisory_xact_lock(hashtextextended('agent-keys', 0))`.execute(tx);
  for (const { x, y } of keys) {
    const { rows } = await sql`select 1 from oauth_clients
      where metadata->'jwks'->'keys' @> ${JSON.stringify([{ x, y }])}::jsonb
        and client_id is distinct from ${clientId} limit 1`.execute(tx);
    if (rows.length > 0) return true;
  }
  return false;
}

export function keyTaken(): Refusal {
  return refusal(
    'conflict',
    'One of these keys belongs to another client already. Make keys of its own for this agent.',
  );
}

/** What people compare a key by. */
export async function thumbprintOf({ kty, crv, x, y }: JWK): Promise<string> {
  return calculateJwkThumbprint({ kty, crv, x, y } as JWK);
}
