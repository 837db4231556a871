import type { Middleware } from 'koa';
import { type Client, type Configuration, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { findToolServerByClient } from '../agents/tool_servers.ts';
import type { Store } from '../store/store.ts';
import { type IssuedToken, isInForce, type ReadAccessToken } from './access_token.ts';
import { findLiveTaskByGrant, isOfBeforeSuspension } from './live_task.ts';
import { requestFacts } from './request_facts.ts';

/**
 * RFC 7662 for access tokens. The engine authenticates the client and then refuses structured tokens; this answers in
 * its place. Whoever is neither the client of the token nor the guard of its audience learns only `{"active":false}`.
 */
export function introspectAccessTokens(store: Store, readAccessToken: ReadAccessToken): Middleware {
  return async (ctx, next) => {
    await next();
    const oidc = structuredTokenRequest(ctx as unknown as KoaContextWithOIDC, 'introspection');
    if (oidc === undefined) return;
    ctx.status = 200;
    ctx.type = 'json';
    const token = await readAccessToken(oidc.token);
    const isActive =
      token !== undefined && (await mayKnow(store, oidc.client, token)) && (await isInForce(store, token));
    ctx.body = isActive ? introspection(token) : { active: false };
  };
}

/** The request the engine has refused only because the token is a JWT; the client is authenticated then. */
export function structuredTokenRequest(
  ctx: KoaContextWithOIDC,
  route: 'introspection' | 'revocation',
): { readonly client: Client; readonly token: string } | undefined {
  if (!(requestFacts(ctx).error instanceof errors.UnsupportedTokenType) || ctx.oidc?.route !== route) return undefined;
  const { client, params } = ctx.oidc;
  return client === undefined || typeof params?.token !== 'string' ? undefined : { client, token: params.token };
}

async function mayKnow(store: Store, client: Client, token: IssuedToken): Promise<boolean> {
  if (token.client_id === client.clientId) return true;
  const toolServer = await findToolServerByClient(store, client.clientId);
  return toolServer?.state === 'active' && toolServer.resource === token.aud;
}

function introspection(token: IssuedToken): Record<string, unknown> {
  return { active: true, ...token, token_type: token.cnf?.jkt === undefined ? 'Bearer' : 'DPoP' };
}

/** Refresh tokens are opaque and the engine's own: only their client may ask, and they end with the task. */
export function createIntrospection(store: Store): NonNullable<Configuration['features']>['introspection'] {
  return {
    enabled: true,
    async allowedPolicy(_ctx, client, token) {
      if (token.clientId !== client.clientId || !('grantId' in token) || token.grantId === undefined) return false;
      const task = await findLiveTaskByGrant(store, token.grantId);
      return task.ok && !isOfBeforeSuspension(task.value, token.iat);
    },
  };
}
