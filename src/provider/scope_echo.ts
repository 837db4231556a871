import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { sha256Base64url } from '../kernel/digest.ts';
import type { EphemeralStore } from '../store/ephemeral.ts';
import { stepUpScope } from '../wire/scopes.ts';
import { SCOPE_ECHO_SECONDS } from './limits.ts';

// The code challenge names one authorization request, and both ends of it know it.
const key = (codeChallenge: string) => `scope_echo:${sha256Base64url(codeChallenge)}`;

/** Notes that the code about to be issued ends the browser trip of an approved step-up. */
export async function rememberScopeEcho(
  ephemeral: EphemeralStore,
  codeChallenge: string,
  stepUpId: string,
): Promise<void> {
  await ephemeral.put(key(codeChallenge), stepUpId, SCOPE_ECHO_SECONDS * 1000);
}

/**
 * Says in the token response that the step-up was approved, because clients compare the scope they got with the one they
 * were challenged for. The token, the grant and the refresh token hold the base scope only: the echo gives nothing.
 */
export function echoStepUpScope(ephemeral: EphemeralStore): Middleware {
  return async (ctx, next) => {
    await next();
    const { oidc } = ctx as unknown as KoaContextWithOIDC;
    if (oidc?.route !== 'token' || ctx.status !== 200) return;
    const { codeChallenge } = oidc.entities.AuthorizationCode ?? {};
    if (codeChallenge === undefined) return;
    const stepUpId = await ephemeral.take(key(codeChallenge));
    if (stepUpId === undefined) return;
    const body = ctx.body as { scope?: string };
    body.scope = [body.scope, stepUpScope(stepUpId)].filter(Boolean).join(' ');
  };
}
