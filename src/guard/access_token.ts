import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { AuthorizationServer } from '../wire/authorization_server_rfc8414.ts';
import { parseAccessTokenClaims } from '../wire/claims.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { SIGNING_ALGORITHM } from '../wire/signing_key.ts';
import { BoundedMap } from './bounded_map.ts';
import type { Caller } from './caller.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { ACCESS_TOKEN_CHARACTERS_MAX, ISSUER_TIMEOUT_MS, VERDICTS_MAX } from './limits.ts';

/** The verified token, before any proof of possession was checked. */
export interface TokenVerdict extends Omit<Caller, 'dpopJkt'> {
  readonly boundTo: string | null;
}

export type VerifyAccessToken = (token: string, now: Date) => Promise<Result<TokenVerdict, Refusal>>;

/**
 * Verifies access tokens (RFC 9068 §4) of one issuer for one resource with its cached keys. A verdict is remembered by
 * the hash of the token until it expires: ended tasks and revocations are seen by the server, which is asked for every
 * call. Throws IssuerOutage when the keys cannot be read, which must not look like a bad token.
 */
export function accessTokenVerifier(
  issuer: string,
  resource: string,
  metadata: () => Promise<AuthorizationServer>,
): VerifyAccessToken {
  const verdicts = new BoundedMap<TokenVerdict>(VERDICTS_MAX);
  let keys: JWTVerifyGetKey | undefined;
  return async (token, now) => {
    if (token.length > ACCESS_TOKEN_CHARACTERS_MAX)
      return refused(refusal('token_invalid', 'The access token is too long.'));
    const hash = sha256Base64url(token);
    const known = verdicts.get(hash, now.getTime());
    if (known !== undefined) return accepted(known);
    keys ??= createRemoteJWKSet(new URL((await metadata()).jwks_uri), { timeoutDuration: ISSUER_TIMEOUT_MS });
    const payload = await verify(token, keys, issuer, resource, now);
    if (!payload.ok) return payload;
    const verdict = readVerdict(token, payload.value);
    if (verdict.ok) verdicts.set(hash, verdict.value, verdict.value.expiresAt * 1000);
    return verdict;
  };
}

async function verify(
  token: string,
  keys: JWTVerifyGetKey,
  issuer: string,
  resource: string,
  now: Date,
): Promise<Result<JWTPayload, Refusal>> {
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience: resource,
      typ: 'at+jwt',
      algorithms: [SIGNING_ALGORITHM],
      requiredClaims: ['exp', 'iat', 'sub'],
      currentDate: now,
    });
    if (payload.aud === resource) return accepted(payload);
    return refused(refusal('token_wrong_audience', 'The access token is for more than this tool server.'));
  } catch (error) {
    return refused(refusalOfError(error));
  }
}

// Outages of the key set are errors without a class of their own in jose: everything not known to be the token's fault
// is an outage.
function refusalOfError(error: unknown): Refusal {
  if (error instanceof errors.JWTExpired) return refusal('token_expired', 'The access token has expired.');
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'aud') {
    return refusal('token_wrong_audience', 'The access token is for another tool server.');
  }
  if (
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  ) {
    return refusal('token_invalid', 'The access token is not a valid token of the issuer of this tool server.');
  }
  throw new IssuerOutage('The keys of the issuer cannot be read.', error);
}

function readVerdict(token: string, payload: JWTPayload): Result<TokenVerdict, Refusal> {
  const claims = parseAccessTokenClaims(payload);
  if (!claims.ok) return claims;
  const { sub, client_id: clientId, act, task, exp, cnf } = claims.value;
  if (act === undefined) return refused(refusal('token_invalid', 'The access token does not say which agent acts.'));
  return accepted({
    accessToken: token,
    clientId,
    requester: sub,
    agent: act.sub,
    task: task.id,
    expiresAt: exp,
    boundTo: cnf?.jkt ?? null,
  });
}
