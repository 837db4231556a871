import type { Middleware } from 'koa';
import { append } from '../events/append.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { TOKEN_FAILURE_WINDOW_SECONDS, TOKEN_FAILURES_MAX } from './limits.ts';

/** A token of another system that was not accepted, as the operator finds it in the audit log. */
export interface RefusedAssertion {
  readonly what: 'workload' | 'identity_assertion';
  /** One of a closed list of words. */
  readonly code: string;
  /** Of the configuration; null where the token names one that is not in it. */
  readonly issuer: string | null;
  readonly client: string | null;
  /** Who the token speaks of; kept apart from what is signed for ever. */
  readonly subject: string | null;
  /** The words that its sender got. */
  readonly message: string;
}

/** Says in the audit log and in the server's own why a token of another system was refused. */
export async function recordRefusedAssertion(store: Store, refused: RefusedAssertion): Promise<void> {
  const { what, code, issuer, client, subject, message } = refused;
  store.log.warn({ what, code, issuer, client }, `a token of another system was refused: ${message}`);
  await transact(store, (tx, afterCommit) =>
    append(store, tx, afterCommit, {
      kind: 'workload.refused',
      ids: { what, code, issuer, client },
      personal: { subject, reason: message },
    }),
  );
}

const key = (address: string) => `assertion_failures:${sha256Base64url(address)}`;

/**
 * Whether this address sent so many tokens of others that were refused that the next ones are not looked at for a while: each
 * costs a signature check and an event. Nothing secret is protected by it, so it lets pass while it cannot count.
 */
export async function mustWait(
  { ephemeral, log }: Pick<Store, 'ephemeral' | 'log'>,
  ctx: Parameters<Middleware>[0],
): Promise<boolean> {
  const failures = await ephemeral.get(key(ctx.ip)).catch((error: unknown) => {
    log.warn({ err: error }, 'refused tokens of others are not counted: the store cannot be asked');
    return undefined;
  });
  if (failures === undefined || Number(failures) < TOKEN_FAILURES_MAX) return false;
  ctx.status = 429;
  ctx.set('Retry-After', String(TOKEN_FAILURE_WINDOW_SECONDS));
  ctx.set('Cache-Control', 'no-store');
  ctx.body = { error: 'slow_down', error_description: 'too many refused tokens from this address: wait a minute' };
  return true;
}

export async function countRefusal(
  { ephemeral, log }: Pick<Store, 'ephemeral' | 'log'>,
  address: string,
): Promise<void> {
  await ephemeral.increment(key(address), TOKEN_FAILURE_WINDOW_SECONDS * 1000).catch((error: unknown) => {
    log.warn({ err: error }, 'refused tokens of others are not counted: the store cannot be asked');
  });
}
