import type { Middleware } from 'koa';
import type { EphemeralStore } from '../store/ephemeral.ts';
import { ROUTES } from './discovery.ts';
import { AUTHORIZATIONS_PER_MINUTE } from './limits.ts';

const WINDOW_SECONDS = 60;

/** Each authorization request of a client that is known leaves something in the store, before anybody has signed in. */
export function limitAuthorizations(ephemeral: EphemeralStore): Middleware {
  return async (ctx, next) => {
    if (ctx.path !== ROUTES.authorization && ctx.path !== ROUTES.pushed_authorization_request) return next();
    const count = await ephemeral.increment(`authorizations:${ctx.ip}`, WINDOW_SECONDS * 1000);
    if (count <= AUTHORIZATIONS_PER_MINUTE) return next();
    ctx.status = 429;
    ctx.set('Retry-After', String(WINDOW_SECONDS));
    ctx.body = {
      error: 'slow_down',
      error_description: 'too many authorization requests from this address: wait as Retry-After says',
    };
  };
}
