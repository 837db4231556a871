import type { Middleware } from 'koa';
import { errors, Provider } from 'oidc-provider';
import { sha256Base64url } from '../kernel/digest.ts';
import type { Store } from '../store/store.ts';
import { TOKEN_FAILURE_WINDOW_SECONDS, TOKEN_FAILURES_MAX } from './limits.ts';
import { requestFacts } from './request_facts.ts';

const GUESSABLE_ROUTES = new Set(['token', 'introspection', 'revocation']);
const GUESSES = new Set(['invalid_client', 'invalid_grant']);

/** Guessing codes, tokens or keys is slow: too many failures of one client from one address make that pair wait. */
export interface TokenThrottle {
  /** Refuses the request under way if its client and address have to wait. */
  beforeClient(clientId: string): Promise<void>;
  readonly countFailures: Middleware;
}

/**
 * Lets requests pass when its store cannot be asked: what is guessed here has 128 bits at least, so the throttle saves work
 * and protects no secret. What redeems or marks something fails by itself then.
 */
export function createTokenThrottle({ ephemeral, log }: Pick<Store, 'ephemeral' | 'log'>): TokenThrottle {
  const unless = (error: unknown) => {
    log.warn({ err: error }, 'failed token requests are not counted: the store cannot be asked');
    return undefined;
  };
  return {
    async beforeClient(clientId) {
      const ctx = Provider.ctx;
      if (ctx === undefined || !GUESSABLE_ROUTES.has(ctx.oidc.route)) return;
      requestFacts(ctx).clientId = clientId;
      const until = await ephemeral.get(`token_wait:${pairOf(clientId, ctx.ip)}`).catch(unless);
      if (until === undefined) return;
      ctx.set('Retry-After', String(Math.max(1, Math.ceil((Number(until) - Date.now()) / 1000))));
      throw new TooManyFailures();
    },
    async countFailures(ctx, next) {
      await next();
      const { clientId, isForgotten, isRefusedExchange } = requestFacts(ctx);
      const error = (ctx.body as { error?: unknown } | undefined)?.error;
      if (clientId === undefined || isForgotten || typeof error !== 'string') return;
      if (!GUESSES.has(error) && !isRefusedExchange) return;
      const pair = pairOf(clientId, ctx.ip);
      const windowMs = TOKEN_FAILURE_WINDOW_SECONDS * 1000;
      const failures = await ephemeral.increment(`token_failures:${pair}`, windowMs).catch(unless);
      if (failures !== undefined && failures >= TOKEN_FAILURES_MAX) {
        await ephemeral.put(`token_wait:${pair}`, String(Date.now() + windowMs), windowMs).catch(unless);
      }
    },
  };
}

class TooManyFailures extends errors.OIDCProviderError {
  constructor() {
    super(429, 'slow_down');
    this.error_description = 'too many failed requests of this client from this address: wait as Retry-After says';
  }
}

function pairOf(clientId: string, address: string): string {
  return sha256Base64url(clientId, '\0', address);
}
