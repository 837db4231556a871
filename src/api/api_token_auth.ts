import type { Context } from 'koa';
import { type Result, refused } from '../kernel/result.ts';
import type { ApiTokenScope } from '../model/api_token.ts';
import { findApiToken } from '../people/api_tokens.ts';
import type { Store } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/** The machine that administers, by the API token in its Authorization header (RFC 6750 §2.1). */
export async function authenticateApiToken(
  ctx: Context,
  store: Store,
  scope: ApiTokenScope,
): Promise<Result<{ id: string; scopes: readonly string[] }, Refusal>> {
  const [scheme = '', token = '', ...rest] = (ctx.get('Authorization') || '').split(' ');
  if (token === '' || rest.length > 0 || scheme.toLowerCase() !== 'bearer') {
    ctx.set('WWW-Authenticate', 'Bearer');
    const words = 'Send an API token as "Authorization: Bearer cst_…". `countersign tokens make` makes one.';
    return refused(refusal('token_missing', words));
  }
  const found = await findApiToken(store, token, scope);
  if (!found.ok) {
    const isNarrow = found.refusal.code === 'not_allowed';
    ctx.set(
      'WWW-Authenticate',
      isNarrow ? `Bearer error="insufficient_scope", scope="${scope}"` : 'Bearer error="invalid_token"',
    );
  }
  return found;
}
