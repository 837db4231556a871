import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Store } from '../store/store.ts';
import { findLiveDelegation, findLiveTaskById } from './live_task.ts';

export interface IssuedToken extends JWTPayload {
  readonly jti: string;
  readonly aud: string;
  readonly client_id: string;
  readonly exp: number;
  readonly scope?: string;
  readonly task?: { readonly id: string; readonly delegation?: string };
  readonly cnf?: { readonly jkt?: string };
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

/** Whether the token is not revoked and its task runs. */
export async function isInForce(store: Store, token: IssuedToken): Promise<boolean> {
  const revoked = await store.db
    .selectFrom('revoked_tokens')
    .select('jti')
    .where('jti', '=', token.jti)
    .executeTakeFirst();
  if (revoked !== undefined) return false;
  if (token.task === undefined) return true;
  const { id, delegation } = token.task;
  const live =
    delegation === undefined ? await findLiveTaskById(store, id) : await findLiveDelegation(store, delegation);
  return live.ok && live.value.id === id && live.value.clientId === token.client_id;
}
