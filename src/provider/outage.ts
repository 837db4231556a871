import type { KoaContextWithOIDC } from 'oidc-provider';
import { KeysOutdated } from '../keys/keyring.ts';
import { isOutage } from '../store/outage.ts';

const RETRY_AFTER_SECONDS = 1;

/**
 * The engine answers 500 to whatever it did not expect. An outage of the database is 503, so that callers try again; a
 * page keeps what it says.
 */
export function answerOutage(ctx: KoaContextWithOIDC, error: Error): void {
  if (!isOutage(error) && !(error instanceof KeysOutdated)) return;
  ctx.status = 503;
  ctx.set('Retry-After', String(RETRY_AFTER_SECONDS));
  if (ctx.type === 'text/html') return;
  ctx.body = {
    error: 'temporarily_unavailable',
    error_description: 'The database does not answer. Nothing was changed. Try again in a moment.',
  };
}
