import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt, type JWTPayload } from 'jose';
import type { Middleware } from 'koa';
import { type Configuration, errors, Provider } from 'oidc-provider';
import { sha256Base64url } from '../kernel/digest.ts';
import type { EphemeralStore } from '../store/ephemeral.ts';
import { isForgotten } from '../store/forgotten.ts';
import {
  ASSERTION_SECONDS_MAX,
  CLIENT_ASSERTION_CHARACTERS_MAX,
  CLOCK_TOLERANCE_SECONDS,
  MEMORY_WAIT_MS_MAX,
} from './limits.ts';
import { requestFacts } from './request_facts.ts';

/** Marks of used assertions and proofs, set atomically: the engine's own check reads first and writes later. */
export function detectReplays(provider: Provider, ephemeral: EphemeralStore): void {
  provider.ReplayDetection.unique = async (issuer, jti, expiresAt) => {
    // What comes with an iat that is a little ahead is good for as much longer than the engine thinks.
    const ttlMs = Math.max(expiresAt * 1000 - Date.now(), 0) + CLOCK_TOLERANCE_SECONDS * 1000;
    const key = `replay:${sha256Base64url(issuer, '\0', jti)}`;
    const isFirst = await ephemeral.putIfAbsent(key, '1', ttlMs);
    if (isFirst) assertRemembered(ephemeral, jti);
    // RFC 9449 §5; the engine would speak of the grant, which is as good as before.
    else if (isOfProof(jti)) throw refusedProof('the DPoP proof was used before: make a new one');
    return isFirst;
  };
}

function isOfProof(jti: string): boolean {
  const ctx = Provider.ctx;
  const assertion = unverifiedClaims(ctx?.oidc.params?.client_assertion);
  return assertion?.jti !== jti && unverifiedClaims(ctx?.get('DPoP'))?.jti === jti;
}

/** The engine does not tell when that which has this `jti` was issued; the request does. */
function assertRemembered(ephemeral: EphemeralStore, jti: string): void {
  const ctx = Provider.ctx;
  const assertion = unverifiedClaims(ctx?.oidc.params?.client_assertion);
  const proof = unverifiedClaims(ctx?.get('DPoP'));
  if (assertion?.jti !== jti && proof?.jti !== jti)
    throw new Error('A mark was asked for that nothing in the request has.');
  if (assertion?.jti === jti && isForgotten(ephemeral, assertion.iat ?? 0)) {
    if (ctx !== undefined) requestFacts(ctx).isForgotten = true;
    throw refusedAssertion('the client assertion is too old: make a new one');
  }
  if (proof?.jti === jti && isForgotten(ephemeral, proof.iat ?? 0)) throw refusedProof(FORGOTTEN_PROOF);
}

const FORGOTTEN_PROOF = 'the DPoP proof is too old: make a new one';

function refusedProof(description: string): errors.InvalidDpopProof {
  return Object.assign(new errors.InvalidDpopProof(description), { error_description: description });
}

// RFC 7515 §4.1: ways for the sender to bring or point at a key. Only registered keys count, so their presence is an attack.
const KEY_HEADERS = ['jku', 'jwk', 'x5u', 'x5c', 'crit'];

/** RFC 7523 §3 as we keep it: for this issuer by name, short-lived, and recent enough for the replay marks. */
export function createAssertionCheck(issuer: string): NonNullable<Configuration['assertJwtClientAuthClaimsAndHeader']> {
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
  };
}

function refusedAssertion(description: string): errors.InvalidClientAuth {
  return Object.assign(new errors.InvalidClientAuth(description), { error_description: description });
}

/**
 * Refuses the proof of a request before the engine uses up a code for it: one from before the memory, and one from the
 * future, which could come again after the memory was lost. The memory is asked again when the proof is marked.
 */
export function refuseForgottenProofs(ephemeral: EphemeralStore): Middleware {
  return async (ctx, next) => {
    const issuedAt = unverifiedClaims(ctx.get('DPoP'))?.iat;
    const wrong = issuedAt === undefined ? undefined : await wrongTime(ephemeral, issuedAt);
    if (wrong === undefined) return next();
    ctx.status = 400;
    ctx.set('Cache-Control', 'no-store');
    ctx.body = { error: 'invalid_dpop_proof', error_description: wrong };
  };
}

async function wrongTime(ephemeral: EphemeralStore, issuedAt: number): Promise<string | undefined> {
  if (issuedAt > Date.now() / 1000 + CLOCK_TOLERANCE_SECONDS) {
    return 'the iat of the DPoP proof lies in the future: check the clock';
  }
  if (!isForgotten(ephemeral, issuedAt)) return undefined;
  // A memory that is about to begin would refuse the next proof as well.
  const leftMs = ephemeral.remembersSince.getTime() - Date.now();
  if (leftMs > 0) await sleep(Math.min(leftMs, MEMORY_WAIT_MS_MAX));
  return FORGOTTEN_PROOF;
}

function unverifiedClaims(token: unknown): JWTPayload | undefined {
  if (typeof token !== 'string' || token === '') return undefined;
  try {
    const claims = decodeJwt(token);
    return claims.iat === undefined || typeof claims.iat === 'number' ? claims : undefined;
  } catch {
    return undefined;
  }
}
