import { createHash } from 'node:crypto';
import { decodeProtectedHeader, type JWTPayload } from 'jose';
import type { Context } from 'koa';
import { sql } from 'kysely';
import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { VerificationKeys } from '../keys/verification_keys.ts';
import { isForgotten } from '../store/forgotten.ts';
import type { Store } from '../store/store.ts';
import { verifyAccessToken } from '../tasks/access_token.ts';
import { isOfBefore } from '../tasks/issued_before.ts';
import { verifyDpopProof } from '../wire/dpop_rfc9449.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { DPOP_PROOF_SECONDS_MAX, DPOP_REPLAY_MS, VERIFIED_TOKENS_MAX } from './limits.ts';

interface Verdict {
  readonly payload: JWTPayload;
  readonly kid: string | undefined;
}

/**
 * Verifies our own access tokens, each once: the verdict is remembered by the token's hash until it expires, or its key is
 * revoked.
 */
export class TokenVerifier {
  readonly #store: Store;
  readonly #keys: VerificationKeys;
  readonly #verified = new Map<string, Verdict>();

  constructor(store: Store, keys: VerificationKeys) {
    this.#store = store;
    this.#keys = keys;
  }

  async verify(token: string, audience: string): Promise<Result<JWTPayload, Refusal>> {
    const key = createHash('sha256').update(audience).update('\0').update(token).digest('base64url');
    const known = this.#verified.get(key);
    if (known !== undefined) {
      const isLive = (known.payload.exp ?? 0) * 1000 > Date.now();
      if (isLive && this.#keys.verifies(known.kid)) return accepted(known.payload);
      this.#verified.delete(key);
      if (!isLive) return refused(refusal('token_expired', 'The access token has expired.'));
    }
    const verified = await verifyAccessToken(token, { issuer: this.#store.issuer, audience, keys: this.#keys.find });
    if (!verified.ok) return verified;
    if (this.#verified.size >= VERIFIED_TOKENS_MAX) this.#verified.delete(this.#verified.keys().next().value!);
    this.#verified.set(key, { payload: verified.value, kid: decodeProtectedHeader(token).kid });
    return verified;
  }

  /**
   * The token of a request to our own API (RFC 6750, RFC 9449 §7): a bound token needs a fresh proof by its key, used
   * once; `isProofRequired` refuses tokens that are not bound.
   */
  async authenticate(
    ctx: Context,
    expected: { readonly audience: string; readonly scope: string; readonly isProofRequired: boolean },
  ): Promise<Result<JWTPayload, Refusal>> {
    const [scheme = '', token = '', ...rest] = (ctx.get('Authorization') || '').split(' ');
    if (token === '' || rest.length > 0 || !/^(bearer|dpop)$/i.test(scheme)) {
      return refused(refusal('token_missing', 'The request has no access token.'));
    }
    const verified = await this.verify(token, expected.audience);
    if (!verified.ok) return verified;
    const jkt = (verified.value.cnf as { jkt?: string } | undefined)?.jkt;
    if (jkt === undefined ? expected.isProofRequired : scheme.toLowerCase() !== 'dpop') {
      return refused(refusal('token_invalid', 'This needs a token bound to a key, sent with the DPoP scheme.'));
    }
    const [proof, isRevoked] = await Promise.all([
      jkt === undefined ? accepted(true) : this.#checkProof(ctx, token, jkt),
      this.#isRevoked(verified.value),
    ]);
    if (!proof.ok) return proof;
    if (isRevoked) return refused(refusal('token_invalid', 'The access token was revoked.'));
    const scopes = typeof verified.value.scope === 'string' ? verified.value.scope.split(' ') : [];
    return scopes.includes(expected.scope)
      ? verified
      : refused(refusal('not_allowed', `The token lacks the scope "${expected.scope}".`));
  }

  /** By itself, or because its agent was suspended since, and resumed. */
  async #isRevoked({ jti, client_id, iat }: JWTPayload): Promise<boolean> {
    const { rows } = await sql<{ is_revoked: boolean }>`select
      exists (select 1 from revoked_tokens where jti = ${jti})
      or exists (select 1 from agents where kind = 'service' and client_id = ${client_id}
        and state = 'active' and ${isOfBefore(sql`suspended_at`, { iat })}) as is_revoked`.execute(this.#store.db);
    return rows[0]!.is_revoked;
  }

  async #checkProof(ctx: Context, accessToken: string, jkt: string): Promise<Result<true, Refusal>> {
    const header = ctx.req.headers.dpop;
    const proof = await verifyDpopProof(header, {
      htm: ctx.method,
      htu: `${new URL(this.#store.issuer).origin}${ctx.path}`,
      accessToken,
      jkt,
      now: new Date(),
    });
    if (!proof.ok) return proof;
    const { ephemeral } = this.#store;
    if (proof.value.iat < Date.now() / 1000 - DPOP_PROOF_SECONDS_MAX) {
      const words = `The DPoP proof is older than ${DPOP_PROOF_SECONDS_MAX} s. Check the clock and make a new one.`;
      return refused(refusal('dpop_proof_invalid', words));
    }
    // Hashed, since the id may be longer than a key of the store.
    const id = sha256Base64url(proof.value.jti);
    const isFirst = await ephemeral.putIfAbsent(`dpop:${jkt}:${id}`, '1', DPOP_REPLAY_MS);
    if (!isFirst) return refused(refusal('dpop_proof_invalid', 'This DPoP proof was used before.'));
    if (isForgotten(ephemeral, proof.value.iat)) {
      return refused(
        refusal('dpop_proof_invalid', 'The DPoP proof is older than the memory of used ones. Make a new one.'),
      );
    }
    return accepted(true);
  }
}
