import type { JWK } from 'jose';
import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { JWKS_URI_CHARACTERS_MAX } from './limits.ts';

/** Member of a client's metadata: the thumbprints of the keys that its `jwks_uri` had when it was last read. */
export const SEEN_KEYS = 'seen_keys';

/**
 * The address of an agent's published keys (RFC 7591 §2, `jwks_uri`) as its client's metadata keep it. Whether it may be fetched
 * is found out by safe fetch, each time.
 */
export function checkJwksUri(address: string): Result<string, Refusal> {
  const url = address.length > JWKS_URI_CHARACTERS_MAX ? null : URL.parse(address);
  const isFit =
    url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && url.hash === '';
  if (!isFit) {
    return refused(refusal('request_invalid', 'jwks_uri must be an https address without user name and fragment.'));
  }
  return accepted(url.href);
}

/**
 * Notes that an agent publishes other keys than before, so that its deadline for changing them begins anew. `digest` is over
 * all of them. True if they changed; the first ones that are seen do not count.
 */
export async function noteKeysSeen(store: Store, clientId: string, digest: string): Promise<boolean> {
  return transact(store, async (tx, afterCommit) => {
    const client = await tx
      .selectFrom('oauth_clients')
      .select('metadata')
      .where('client_id', '=', clientId)
      .forUpdate()
      .executeTakeFirst();
    if (client === undefined || client.metadata[SEEN_KEYS] === digest) return false;
    const isFirst = client.metadata[SEEN_KEYS] === undefined;
    await tx
      .updateTable('oauth_clients')
      .set({ metadata: JSON.stringify({ ...client.metadata, [SEEN_KEYS]: digest }) })
      .where('client_id', '=', clientId)
      .execute();
    if (isFirst) return false;
    const agent = await tx
      .updateTable('agents')
      .set({ key_changed_at: sql<Date>`clock_timestamp()`, key_warned_at: null })
      .where('client_id', '=', clientId)
      .where('kind', '=', 'service')
      .returning('id')
      .executeTakeFirst();
    if (agent === undefined) return false;
    await append(store, tx, afterCommit, { kind: 'agent.keys_changed', ids: { agent: agent.id, how: 'jwks_uri' } });
    return true;
  });
}

/** The keys of a set that `private_key_jwt` accepts here, which is ES256 (RFC 7518 §3.4). */
export function es256Keys(keys: readonly JWK[]): JWK[] {
  return keys
    .filter(({ kty, crv, alg }) => kty === 'EC' && crv === 'P-256' && (alg === undefined || alg === 'ES256'))
    .map((key) => ({ ...key, alg: 'ES256', use: 'sig' }));
}
