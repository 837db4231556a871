import { decodeJwt } from 'jose';
import type { Middleware } from 'koa';
import { type Configuration, errors, type Provider } from 'oidc-provider';
import { sha256Base64url } from '../kernel/digest.ts';
import type { EphemeralStore } from '../store/ephemeral.ts';
import { ASSERTION_SECONDS_MAX, CLIENT_ASSERTION_CHARACTERS_MAX, CLOCK_TOLERANCE_SECONDS } from './limits.ts';

/** Marks of used assertions and proofs, set atomically: the engine's own check reads first and writes later. */
export function detectReplays(provider: Provider, ephemeral: EphemeralStore): void {
  provider.ReplayDetection.unique = async (issuer, jti, expiresAt) => {
    const ttlMs = expiresAt * 1000 - Date.now();
    return ephemeral.putIfAbsent(`replay:${sha256Base64url(issuer, '\0', jti)}`, '1', Math.max(ttlMs, 1));
  };
}

/**
 * True for what was issued before the store's memory begins: its mark may be lost, so it may be a replay. A client that
 * is refused for this makes a new one. There is no tolerance for clocks that differ: a server is back within seconds, and
 * what was used just before it died must stay dead (F2). `iat` is cut to the second.
 */
function isForgotten(ephemeral: EphemeralStore, issuedAt: number): boolean {
  return (issuedAt + 1) * 1000 < ephemeral.remembersSince.getTime();
}

// RFC 7515 §4.1: ways for the sender to bring or point at a key. Only registered keys count, so their presence is an attack.
const KEY_HEADERS = ['jku', 'jwk', 'x5u', 'x5c', 'crit'];

/** RFC 7523 §3 as we keep it: for this issuer by name, short-lived, and recent enough for the replay marks. */
export function createAssertionCheck(
  issuer: string,
  ephemeral: EphemeralStore,
): NonNullable<Configuration['assertJwtClientAuthClaimsAndHeader']> {
  return (ctx, claims, header) => {
    const assertion = ctx.oidc.params?.client_assertion;
    if (typeof assertion === 'string' && assertion.length > CLIENT_ASSERTION_CHARACTERS_MAX) {
      throw refusedAssertion('the client assertion is too long');
    }
    if (KEY_HEADERS.some((name) => name in header)) throw refusedAssertion('the client assertion must not carry a key');
    // RFC 7523 would allow the token endpoint too; that would let one server's assertion work at another.
    if (claims.aud !== issuer) throw refusedAssertion(`the aud of the client assertion must be exactly ${issuer}`);
    const { iat, exp } = claims;
    if (typeof iat !== 'number' || typeof exp !== 'number' || exp - iat > ASSERTION_SECONDS_MAX) {
      throw refusedAssertion(`the client assertion needs iat and an exp at most ${ASSERTION_SECONDS_MAX} s after it`);
    }
    if (iat > Date.now() / 1000 + CLOCK_TOLERANCE_SECONDS) {
      throw refusedAssertion('the iat of the client assertion lies in the future: check the clock');
    }
    if (isForgotten(ephemeral, iat)) throw refusedAssertion('the client assertion is too old: make a new one');
  };
}

function refusedAssertion(description: string): errors.InvalidClientAuth {
  return Object.assign(new errors.InvalidClientAuth(description), { error_description: description });
}

/** The same for DPoP proofs, before the engine looks at them: it does not tell its replay check when a proof was made. */
export function refuseForgottenProofs(ephemeral: EphemeralStore): Middleware {
  return async (ctx, next) => {
    const proof = ctx.get('DPoP');
    const issuedAt = proof === '' ? undefined : unverifiedIssuedAt(proof);
    if (issuedAt !== undefined && isForgotten(ephemeral, issuedAt)) {
      ctx.status = 400;
      ctx.set('Cache-Control', 'no-store');
      ctx.body = { error: 'invalid_dpop_proof', error_description: 'the DPoP proof is too old: make a new one' };
      return;
    }
    await next();
  };
}

function unverifiedIssuedAt(proof: string): number | undefined {
  try {
    const { iat } = decodeJwt(proof);
    return typeof iat === 'number' ? iat : undefined;
  } catch {
    return undefined;
  }
}
