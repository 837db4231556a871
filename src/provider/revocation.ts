import type { Middleware } from 'koa';
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider';
import { append } from '../events/append.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import type { IssuedToken, ReadAccessToken } from './access_token.ts';
import { structuredTokenRequest } from './introspection.ts';

/** RFC 7009 for access tokens: only the client's own are revoked, and every answer is the same 200. */
export function revokeAccessTokens(store: Store, readAccessToken: ReadAccessToken): Middleware {
  return async (ctx, next) => {
    await next();
    const request = structuredTokenRequest(ctx as unknown as KoaContextWithOIDC, 'revocation');
    if (request === undefined) return;
    const token = await readAccessToken(request.token);
    if (token?.client_id === request.client.clientId) await revokeAccessToken(store, token);
    ctx.status = 200;
    ctx.body = '';
  };
}

async function revokeAccessToken(store: Store, token: IssuedToken): Promise<void> {
  await transact(store, async (tx, afterCommit) => {
    const revoked = await tx
      .insertInto('revoked_tokens')
      .values({ jti: token.jti, expires_at: new Date(token.exp * 1000) })
      .onConflict((conflict) => conflict.column('jti').doNothing())
      .returning('jti')
      .executeTakeFirst();
    if (revoked === undefined) return;
    await append(store, tx, afterCommit, {
      kind: 'token.revoked',
      ids: { token: token.jti, client: token.client_id, task: token.task?.id ?? null },
    });
  });
}

/** Refresh tokens: another client's is left alone without a word (RFC 7009 §2.1 would let us refuse; that would confirm it). */
export const revocation: NonNullable<Configuration['features']>['revocation'] = {
  enabled: true,
  allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
};
