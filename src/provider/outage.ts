import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Logger } from '../kernel/logger.ts';
import { KeysOutdated } from '../keys/keyring.ts';
import { KeysUnreachable } from '../keys/remote_key_sets.ts';
import { isOutage } from '../store/outage.ts';

const RETRY_AFTER_SECONDS = 1;

/**
 * The engine answers 500 to whatever it did not expect. An outage of the database is 503, so that callers try again; a
 * page keeps what it says.
 */
export function answerOutage(ctx: KoaContextWithOIDC, error: Error): void {
  const isOfOthers = error instanceof KeysUnreachable;
  if (!isOutage(error) && !(error instanceof KeysOutdated) && !isOfOthers) return;
  ctx.status = 503;
  ctx.set('Retry-After', String(RETRY_AFTER_SECONDS));
  if (ctx.type === 'text/html') return;
  ctx.body = {
    error: 'temporarily_unavailable',
    error_description: `${isOfOthers ? error.message : 'The database does not answer.'} Nothing was changed. Try again in a moment.`,
  };
}

/**
 * The engine answers for what fails inside it, and Koa would answer 500 for what fails in our own steps around it. What was
 * about to be sent, a token or a redirect, is not sent.
 */
export function answerFailedSteps(log: Logger): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      log.error({ err: error as Error, path: ctx.path }, 'the OAuth engine failed');
      ctx.remove('Location');
      ctx.status = 500;
      ctx.body = { error: 'server_error', error_description: 'Something failed here. It is in the log.' };
      answerOutage(ctx as unknown as KoaContextWithOIDC, error as Error);
    }
  };
}
