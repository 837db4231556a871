import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { sql } from 'kysely';
import type { Store } from '../store/store.ts';
import { isOfBefore } from '../tasks/issued_before.ts';
import { type AccessTokenClaims, actors } from '../wire/claims.ts';
import { findLiveDelegation, findLiveTaskById } from './live_task.ts';

export interface IssuedToken extends JWTPayload {
  readonly jti: string;
  readonly aud: string;
  readonly client_id: string;
  readonly exp: number;
  readonly scope?: string;
  readonly task?: { readonly id: string; readonly delegation?: string };
  readonly cnf?: { readonly jkt?: string };
  readonly act?: AccessTokenClaims['act'];
}

/** Recognises the access tokens of this issuer: signature, issuer, type and expiry. Whether one still works is not asked. */
export type ReadAccessToken = (token: string) => Promise<IssuedToken | undefined>;

export function createAccessTokenReader(issuer: string, keys: JWTVerifyGetKey): ReadAccessToken {
  return async (token) => {
    try {
      // RFC 9068 §4: the type keeps ID tokens and client assertions out.
      const { payload } = await jwtVerify(token, keys, { issuer, algorithms: ['ES256'], typ: 'at+jwt' });
      return isComplete(payload) ? payload : undefined;
    } catch (error) {
      // Anything else is an outage: that a token is bad is not known then.
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  };
}

function isComplete(payload: JWTPayload): payload is IssuedToken {
  return (
    typeof payload.jti === 'string' &&
    typeof payload.aud === 'string' &&
    typeof payload.exp === 'number' &&
    typeof payload.client_id === 'string'
  );
}

/**
 * Whether the token is not revoked, by itself or by anything it descends from: its task or delegation lives, and no agent that
 * acts by it was suspended since it was issued, also if that agent was resumed (T51: all of it counts, not one instead of another).
 */
export async function isInForce(store: Store, token: IssuedToken): Promise<boolean> {
  if (await isRevoked(store, token)) return false;
  if (token.task === undefined) return true;
  const { id, delegation } = token.task;
  const live =
    delegation === undefined ? await findLiveTaskById(store, id) : await findLiveDelegation(store, delegation);
  return live.ok && live.value.id === id && live.value.clientId === token.client_id;
}

async function isRevoked({ db }: Store, token: IssuedToken): Promise<boolean> {
  const agents = actors(token.act).map((actor) => actor.sub);
  const { rows } = await sql<{ is_revoked: boolean }>`select
      exists (select 1 from revoked_tokens where jti = ${token.jti})
      or exists (select 1 from agents where (id = any(${agents}::text[])
        or (kind = 'service' and client_id = ${token.client_id})) and ${isOfBefore(sql`suspended_at`, token)})
        as is_revoked`.execute(db);
  return rows[0]!.is_revoked;
}
