import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { sha256Base64url } from '../kernel/digest.ts';
import type { Store } from '../store/store.ts';
import { stepUpScope } from '../wire/scopes.ts';
import { SCOPE_ECHO_SECONDS } from './limits.ts';

// The code challenge names one authorization request, and both ends of it know it.
const key = (codeChallenge: string) => `scope_echo:${sha256Base64url(codeChallenge)}`;

// The echo gives nothing, so losing it may not cost the code or the tokens either.

/** Notes that the code about to be issued ends the browser trip of an approved step-up. */
export async function rememberScopeEcho(
  { ephemeral, log }: Pick<Store, 'ephemeral' | 'log'>,
  codeChallenge: string,
  stepUpId: string,
): Promise<void> {
  await ephemeral.put(key(codeChallenge), stepUpId, SCOPE_ECHO_SECONDS * 1000).catch((error: unknown) => {
    log.warn({ err: error, step_up: stepUpId }, 'a client will not be told that its step-up was approved');
  });
}

/**
 * Says in the token response that the step-up was approved, because clients compare the scope they got with the one they
 * were challenged for. The token, the grant and the refresh token hold the base scope only: the echo gives nothing.
 */
export function echoStepUpScope({ ephemeral, log }: Pick<Store, 'ephemeral' | 'log'>): Middleware {
  return async (ctx, next) => {
    await next();
    const { oidc } = ctx as unknown as KoaContextWithOIDC;
    if (oidc?.route !== 'token' || ctx.status !== 200) return;
    const { codeChallenge } = oidc.entities.AuthorizationCode ?? {};
    if (codeChallenge === undefined) return;
    const stepUpId = await ephemeral.take(key(codeChallenge)).catch((error: unknown) => {
      log.warn({ err: error }, 'a client may not be told that its step-up was approved');
      return undefined;
    });
    if (stepUpId === undefined) return;
    const body = ctx.body as { scope?: string };
    body.scope = [body.scope, stepUpScope(stepUpId)].filter(Boolean).join(' ');
  };
}
