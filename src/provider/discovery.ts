import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Federation } from '../model/federation.ts';
import { ID_JAG_PROFILE, JWT_BEARER_GRANT } from '../wire/identity_assertion_id_jag_04.ts';

/** What the engine does not know to publish: tool scopes belong to resources, so it has them in no list of its own. */
export function completeDiscovery(scopesSupported: readonly string[], federation: Federation): Middleware {
  const { workloadIssuers, assertionIssuers } = federation;
  return async (ctx, next) => {
    await next();
    const { oidc } = ctx as unknown as KoaContextWithOIDC;
    if (oidc?.route !== 'discovery' || ctx.status !== 200) return;
    const body = ctx.body as Metadata;
    body.scopes_supported = [...new Set([...scopesSupported, ...(body.scopes_supported ?? [])])];
    const hasJwtBearer = workloadIssuers.length > 0 || assertionIssuers.length > 0;
    if (hasJwtBearer) body.grant_types_supported = [...new Set([...body.grant_types_supported, JWT_BEARER_GRANT])];
    if (assertionIssuers.length > 0) body.authorization_grant_profiles_supported = [ID_JAG_PROFILE];
  };
}

interface Metadata {
  scopes_supported?: string[];
  grant_types_supported: string[];
  authorization_grant_profiles_supported?: string[];
}

const DISCOVERY_PATHS = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'] as const;

/**
 * The path inside the engine that a request path names, or undefined if it names none of ours. Discovery of an issuer
 * with a path is found in both places that clients look: after the path (OIDC Discovery §4) and, with the path inserted
 * behind it, at the root of the host (RFC 8414 §3.1).
 */
export function enginePath(path: string, prefix: string): string | undefined {
  if (prefix !== '') {
    const inserted = DISCOVERY_PATHS.find((known) => path === `${known}${prefix}`);
    if (inserted !== undefined) return inserted;
    if (!path.startsWith(`${prefix}/`)) return undefined;
  }
  const own = path.slice(prefix.length);
  return ENGINE_PATHS.has(own) || /^\/authorize\/[^/]+$/.test(own) ? own : undefined;
}

export const ROUTES = {
  authorization: '/authorize',
  pushed_authorization_request: '/par',
  token: '/token',
  introspection: '/introspect',
  revocation: '/revoke',
  jwks: '/jwks',
  registration: '/register',
} as const;

const ENGINE_PATHS = new Set<string>([...Object.values(ROUTES), ...DISCOVERY_PATHS]);
