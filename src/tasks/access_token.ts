import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/**
 * Verifies one of our own access tokens (RFC 9068 §4): type, ES256 signature, issuer, exactly this audience, expiry.
 * What the payload says beyond that is the caller's to read.
 */
export async function verifyAccessToken(
  token: string,
  expected: { readonly issuer: string; readonly audience: string; readonly keys: JWTVerifyGetKey; readonly now?: Date },
): Promise<Result<JWTPayload, Refusal>> {
  try {
    const { payload } = await jwtVerify(token, expected.keys, {
      typ: 'at+jwt',
      algorithms: ['ES256'],
      issuer: expected.issuer,
      audience: expected.audience,
      requiredClaims: ['exp', 'iat', 'jti', 'sub', 'client_id'],
      ...(expected.now === undefined ? {} : { currentDate: expected.now }),
    });
    // RFC 9068 allows several audiences; ours have one, so that a token is good at one place only.
    if (payload.aud !== expected.audience) return refused(wrongAudience());
    return accepted(payload);
  } catch (error) {
    if (error instanceof errors.JWTExpired) return refused(refusal('token_expired', 'The access token has expired.'));
    if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'aud') return refused(wrongAudience());
    if (error instanceof errors.JOSEError) {
      return refused(refusal('token_invalid', 'The access token is not one of this issuer, or was changed.'));
    }
    throw error;
  }
}

function wrongAudience(): Refusal {
  return refusal('token_wrong_audience', 'The access token was issued for another tool server.');
}
