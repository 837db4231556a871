import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { PrivateKeyJwk } from '../wire/signing_key.ts';
import { NONCE_STEP_MS, NONCE_STEPS_KEPT } from './limits.ts';

/** The nonces of this tool server, while its Countersign server asks for them. */
export interface ProofNonces {
  /** Why a proof with this nonce, or without one, is not accepted now; undefined if it is. */
  problem(nonce: string | undefined, now: Date): Refusal | undefined;
}

/**
 * RFC 9449 §9: a proof cannot be made long in advance by whoever has the key for a moment. Nonces follow from the guard's own
 * key and the minute, so that every process of a tool server knows those of the others, and none is stored.
 */
export function proofNonces(key: Pick<PrivateKeyJwk, 'd'>, areRequired: () => boolean): ProofNonces {
  const secret = Buffer.from(
    hkdfSync('sha256', Buffer.from(key.d, 'base64url'), '', 'countersign-guard-dpop-nonce/1', 32),
  );
  const at = (step: number) => createHmac('sha256', secret).update(String(step)).digest('base64url');
  return {
    problem(nonce, now) {
      if (!areRequired()) return undefined;
      const step = Math.floor(now.getTime() / NONCE_STEP_MS);
      // One ahead, for a process whose clock is.
      const steps = Array.from({ length: NONCE_STEPS_KEPT + 2 }, (_, index) => step + 1 - index);
      if (nonce !== undefined && steps.some((one) => isSame(at(one), nonce))) return undefined;
      const words = 'The DPoP proof needs the nonce of the DPoP-Nonce header.';
      return refusal('dpop_nonce_required', words, { dpop_nonce: at(step) });
    },
  };
}

function isSame(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}

/** The scheme and the error of a 401 (RFC 6750 §3.1, RFC 9449 §7.1 and §9). */
export function authenticationError(refused: Refusal): {
  scheme: 'DPoP' | 'Bearer';
  error: 'use_dpop_nonce' | 'invalid_dpop_proof' | 'invalid_token';
} {
  switch (refused.code) {
    case 'dpop_nonce_required':
      return { scheme: 'DPoP', error: 'use_dpop_nonce' };
    case 'dpop_proof_invalid':
      return { scheme: 'DPoP', error: 'invalid_dpop_proof' };
    default:
      return { scheme: 'Bearer', error: 'invalid_token' };
  }
}

/** Tells the nonce that the next proof must have. */
export function tellNonce(answer: Response, refused: Refusal): void {
  const nonce = refused.code === 'dpop_nonce_required' ? refused.detail?.dpop_nonce : undefined;
  if (typeof nonce === 'string') answer.headers.set('dpop-nonce', nonce);
}
