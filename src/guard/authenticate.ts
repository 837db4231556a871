import { accepted, type Result, refused } from '../kernel/result.ts';
import { verifyDpopProof } from '../wire/dpop_rfc9449.ts';
import { DPOP_PROOF_AGE_SECONDS_MAX, DPOP_PROOF_AHEAD_SECONDS_MAX } from '../wire/limits.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { VerifyAccessToken } from './access_token.ts';
import { BoundedMap } from './bounded_map.ts';
import type { Caller } from './caller.ts';
import { PROOFS_MAX } from './limits.ts';
import type { ProofNonces } from './proof_nonces.ts';

const PROOF_MEMORY_MS = (DPOP_PROOF_AGE_SECONDS_MAX + DPOP_PROOF_AHEAD_SECONDS_MAX) * 1000;
const AUTHORIZATION = /^(bearer|dpop) +([A-Za-z0-9._~+/-]+=*)$/i;

export type Authenticate = (request: Request) => Promise<Result<Caller, Refusal>>;

/** Who sends a request, by its access token and, where the token is bound to a key, a proof of it that was never used. */
export function authenticator(resource: string, verifyToken: VerifyAccessToken, nonces: ProofNonces): Authenticate {
  const seen = new BoundedMap<true>(PROOFS_MAX);
  const startedAt = Date.now();
  return async (request) => {
    const header = request.headers.get('authorization');
    if (header === null) return refused(refusal('token_missing', 'The request carries no access token.'));
    const [, scheme, token] = AUTHORIZATION.exec(header) ?? [];
    if (scheme === undefined || token === undefined) {
      return refused(refusal('token_invalid', 'The Authorization header is not a Bearer or DPoP token.'));
    }
    const now = new Date();
    const verdict = await verifyToken(token, now);
    if (!verdict.ok) return verdict;
    const { boundTo, names: _, ...known } = verdict.value;
    const isDpop = scheme.toLowerCase() === 'dpop';
    if (boundTo === null) {
      if (isDpop)
        return refused(refusal('token_invalid', 'The access token is not bound to a key: send it as Bearer.'));
      return accepted({ ...known, dpopJkt: null });
    }
    // RFC 9449 §7.2: else a stolen token works without its key.
    if (!isDpop) return refused(refusal('dpop_proof_invalid', 'The access token is bound to a key: send it as DPoP.'));
    const proof = await verifyDpopProof(request.headers.get('dpop') ?? undefined, {
      htm: request.method,
      htu: resource,
      accessToken: token,
      jkt: boundTo,
      now,
    });
    if (!proof.ok) return proof;
    const unfit = nonces.problem(proof.value.nonce, now);
    if (unfit !== undefined) return refused(unfit);
    const name = `${proof.value.jkt} ${proof.value.jti}`;
    // What was used before this process started is not known to it.
    if ((proof.value.iat + 1) * 1000 < startedAt || seen.get(name, now.getTime()) !== undefined) {
      return refused(refusal('dpop_proof_invalid', 'The DPoP proof may have been used before. Make a new one.'));
    }
    seen.set(name, true, now.getTime() + PROOF_MEMORY_MS);
    return accepted({ ...known, dpopJkt: boundTo });
  };
}
