import { decodeJwt, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { SetError } from '../../wire/set_push_rfc8935.ts';
import { type ReceivedEvent, readSetClaims, SET_TYPE } from '../../wire/set_rfc8417.ts';
import { RECEIVED_AGE_SECONDS_MAX, RECEIVED_AHEAD_SECONDS_MAX } from '../limits.ts';
import type { Transmitter } from './transmitter.ts';

/** Why a token was refused: a code of ours for the audit log, that of RFC 8935 §2.4, and words for whoever sent it. */
export interface SetRefusal {
  readonly reason:
    | 'malformed'
    | 'issuer_unknown'
    | 'key_unknown'
    | 'signature_wrong'
    | 'type_wrong'
    | 'audience_wrong'
    | 'too_old'
    | 'from_the_future'
    | 'subject_foreign'
    | 'subject_unsupported'
    | 'subject_unknown'
    | 'replayed'
    | 'not_done';
  readonly error: SetError;
  readonly message: string;
}

export function setRefusal(reason: SetRefusal['reason'], error: SetError, message: string): SetRefusal {
  return { reason, error, message };
}

/** Signatures only: a shared secret would let us make what they say. */
const ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'EdDSA',
  'Ed25519',
];

/** The `iss` of a token that nothing was verified of: it only says whose keys to try. */
export function claimedIssuer(token: string): string | undefined {
  try {
    const { iss } = decodeJwt(token);
    return typeof iss === 'string' ? iss : undefined;
  } catch {
    return undefined;
  }
}

/** RFC 8417 §2.2 and SSF 1.0 §4.1: signature, type, issuer, audience, age, and exactly one event. */
export async function verifySet(
  token: string,
  transmitter: Transmitter,
  keys: JWTVerifyGetKey,
  now: Date,
): Promise<Result<ReceivedEvent, SetRefusal>> {
  const verified = await jwtVerify(token, keys, {
    algorithms: ALGORITHMS,
    typ: SET_TYPE,
    issuer: transmitter.issuer,
    audience: transmitter.audience,
    currentDate: now,
  }).catch((error: unknown) => error);
  if (verified instanceof errors.JOSEError) return refused(problemOf(verified, transmitter));
  if (verified instanceof Error) throw verified;
  const event = readSetClaims((verified as { payload: unknown }).payload);
  if (event === undefined) {
    const words = 'The token must have iss, jti, iat, aud and exactly one event, and neither sub nor exp (SSF 1.0 §4).';
    return refused(setRefusal('malformed', 'invalid_request', words));
  }
  const ageSeconds = (now.getTime() - event.issuedAt.getTime()) / 1000;
  if (ageSeconds > RECEIVED_AGE_SECONDS_MAX) {
    const days = RECEIVED_AGE_SECONDS_MAX / 86_400;
    return refused(setRefusal('too_old', 'invalid_request', `The token is older than ${days} days.`));
  }
  if (ageSeconds < -RECEIVED_AHEAD_SECONDS_MAX) {
    return refused(setRefusal('from_the_future', 'invalid_request', 'The iat lies in the future: check the clock.'));
  }
  return accepted(event);
}

function problemOf(error: errors.JOSEError, transmitter: Transmitter): SetRefusal {
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return setRefusal('key_unknown', 'invalid_key', 'The key that signed it is not among those the issuer publishes.');
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return setRefusal('signature_wrong', 'authentication_failed', 'The signature is wrong.');
  }
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) {
    return setRefusal('key_unknown', 'invalid_key', 'The algorithm of the signature is not accepted.');
  }
  if (error instanceof errors.JWTClaimValidationFailed) return claimProblem(error.claim, transmitter);
  // What expires is no security event token (SSF 1.0 §4.1.7).
  return setRefusal('malformed', 'invalid_request', 'It is not a signed security event token.');
}

function claimProblem(claim: string, { audience }: Transmitter): SetRefusal {
  if (claim === 'typ') return setRefusal('type_wrong', 'invalid_request', `The typ must be "${SET_TYPE}".`);
  if (claim === 'aud') return setRefusal('audience_wrong', 'invalid_audience', `The aud must be "${audience}".`);
  if (claim === 'iss') return setRefusal('issuer_unknown', 'invalid_issuer', 'The iss is not a known transmitter.');
  return setRefusal('malformed', 'invalid_request', `The claim "${claim}" is wrong.`);
}
