import type { Middleware } from 'koa';
import { canonicalResource } from '../agents/tool_servers.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';

/**
 * Brings an authorization request into the one form the rest relies on: the resource in its canonical spelling, which
 * the Grant is keyed by, and the base scope, which every token for a tool server carries and which keeps a request that
 * names only spent step-ups from failing. What is malformed or given twice is left for the engine to refuse.
 */
export const normalizeAuthorizationRequest: Middleware = async (ctx, next) => {
  if (ctx.method === 'GET' && ctx.path === '/authorize') {
    const query = new URLSearchParams(ctx.querystring);
    const resources = query.getAll('resource');
    const canonical = resources.length === 1 ? canonicalResource(resources[0]!) : undefined;
    if (canonical !== undefined) query.set('resource', canonical);
    const scopes = query.getAll('scope');
    const asked = scopes.length === 1 ? scopes[0]!.split(' ').filter((scope) => scope !== '') : [];
    if (scopes.length < 2 && !asked.includes(BASE_SCOPE)) query.set('scope', [BASE_SCOPE, ...asked].join(' '));
    ctx.querystring = query.toString();
  }
  await next();
};
