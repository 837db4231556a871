import type Router from '@koa/router';
import { importJWK, type JWK, SignJWT } from 'jose';
import type { Store } from '../store/store.ts';
import { revokedPlaces } from '../tasks/token_statuses.ts';
import { refusal } from '../wire/refusals.ts';
import { SIGNING_ALGORITHM } from '../wire/signing_key.ts';
import {
  STATUS_LIST_MEDIA_TYPE,
  STATUS_LIST_TYPE,
  statusListUri,
  writeStatusList,
} from '../wire/token_status_list_17.ts';
import { answerRefusal } from './http.ts';
import { STATUS_LIST_SECONDS, STATUS_LIST_TTL_SECONDS, STATUS_LISTS_KEPT_MAX } from './limits.ts';

interface StatusLists {
  readonly store: Store;
  /** The private key that signs access tokens now. */
  readonly signer: () => JWK;
}

interface Kept {
  readonly token: Promise<string | null>;
  readonly until: number;
}

/**
 * `GET /token-statuses/{number}` (draft-ietf-oauth-status-list-17 §8), for verifiers that are no guards of ours and ask nobody
 * else: for everybody, without authentication, since it names no token. A list is made once in a few seconds.
 */
export function addStatusListRoutes(router: Router, lists: StatusLists): void {
  if (!lists.store.rules.tokenStatusLists) return;
  const kept = new Map<number, Kept>();
  router.get('/token-statuses/:number', async (ctx) => {
    const { number: text = '' } = ctx.params;
    const number = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
    const token = number === 0 ? null : await keptToken(kept, lists, number);
    if (token === null) return answerRefusal(ctx, refusal('not_found', 'There is no such status list.'));
    ctx.set('Access-Control-Allow-Origin', '*');
    ctx.set('Cache-Control', `public, max-age=${STATUS_LIST_TTL_SECONDS}`);
    ctx.type = STATUS_LIST_MEDIA_TYPE;
    ctx.body = token;
  });
}

function keptToken(kept: Map<number, Kept>, lists: StatusLists, number: number): Promise<string | null> {
  const now = performance.now();
  const known = kept.get(number);
  if (known !== undefined && known.until > now) return known.token;
  kept.delete(number);
  if (kept.size >= STATUS_LISTS_KEPT_MAX) kept.delete(kept.keys().next().value!);
  const token = makeToken(lists, number);
  kept.set(number, { token, until: now + STATUS_LIST_TTL_SECONDS * 1000 });
  // A failure is not remembered.
  token.catch(() => kept.delete(number));
  return token;
}

async function makeToken({ store, signer }: StatusLists, number: number): Promise<string | null> {
  const revoked = await revokedPlaces(store, number);
  if (revoked === null) return null;
  const key = signer();
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ ttl: STATUS_LIST_TTL_SECONDS, status_list: { ...writeStatusList(revoked) } })
    .setProtectedHeader({ alg: SIGNING_ALGORITHM, typ: STATUS_LIST_TYPE, kid: key.kid! })
    .setIssuer(store.issuer)
    .setSubject(statusListUri(store.issuer, number))
    .setIssuedAt(now)
    .setExpirationTime(now + STATUS_LIST_SECONDS)
    .sign(await importJWK(key, SIGNING_ALGORITHM));
}
