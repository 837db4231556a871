import { compactVerify, decodeJwt, decodeProtectedHeader, errors, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { FOREIGN_TOKEN_CHARACTERS_MAX, FOREIGN_TOKEN_CLOCK_SKEW_SECONDS, IDENTIFIER_CHARACTERS_MAX } from './limits.ts';

/** Why a token that another system signed is refused. `message` is safe to show to whoever sent it. */
export interface ForeignTokenRefusal {
  readonly code:
    | 'malformed'
    | 'key_in_header'
    | 'type'
    | 'algorithm'
    | 'signature'
    | 'issuer'
    | 'audience'
    | 'expired'
    | 'not_yet'
    | 'too_long'
    | 'claims';
  readonly message: string;
}

export interface ForeignTokenExpectation {
  /** Null where the token need not name its issuer, which its keys do (SPIFFE). */
  readonly issuer: string | null;
  readonly audience: string;
  /** Media types without `application/`, in lower case; undefined stands for none. */
  readonly types: readonly (string | undefined)[];
  readonly secondsMax: number;
  readonly now: Date;
}

export interface ForeignToken {
  readonly subject: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly jti: string | undefined;
  readonly claims: JWTPayload;
}

/** Signatures only (JWT-SVID §2.1 and what platforms use). A shared key would let whoever verifies sign as well. */
const ALGORITHMS = [
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
  ...['PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'],
];
// RFC 7515 §4.1: ways for the sender to bring or point at a key, or to ask for what we do not know.
const KEY_HEADERS = ['jku', 'jwk', 'x5u', 'x5c', 'crit'];

/** What a token says of itself, believed by nobody yet; undefined if it is none. */
export function peekForeignToken(
  token: string,
): { readonly issuer: unknown; readonly subject: unknown; readonly type: string | undefined } | undefined {
  if (token.length > FOREIGN_TOKEN_CHARACTERS_MAX) return undefined;
  try {
    const { typ } = decodeProtectedHeader(token);
    const { iss, sub } = decodeJwt(token);
    return { issuer: iss, subject: sub, type: typeof typ === 'string' ? mediaType(typ) : undefined };
  } catch {
    return undefined;
  }
}

/**
 * Verifies a token of another system for us (RFC 7523 §3): its signature by the keys of its issuer, exactly our audience, a
 * bounded life. Rejects with what `keys` rejects with, so that keys out of reach never look like a bad token.
 */
export async function verifyForeignToken(
  token: string,
  keys: JWTVerifyGetKey,
  expected: ForeignTokenExpectation,
): Promise<Result<ForeignToken, ForeignTokenRefusal>> {
  if (token.length > FOREIGN_TOKEN_CHARACTERS_MAX) return invalid('malformed', 'it is too long');
  const header = checkHeader(token, expected.types);
  if (!header.ok) return header;
  try {
    // Times and the rest are ours to judge, with words that say which.
    await compactVerify(token, keys as Parameters<typeof compactVerify>[1], { algorithms: ALGORITHMS });
    return checkClaims(decodeJwt(token), expected);
  } catch (error) {
    if (error instanceof errors.JWTInvalid) return invalid('malformed', 'its payload is not an object');
    if (error instanceof errors.JOSEError) return invalid('signature', signatureProblem(error));
    throw error;
  }
}

function checkHeader(token: string, types: ForeignTokenExpectation['types']): Result<true, ForeignTokenRefusal> {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    return invalid('malformed', 'it is not a signed JWT');
  }
  if (KEY_HEADERS.some((name) => name in header)) return invalid('key_in_header', 'it must not carry or name a key');
  if (!ALGORITHMS.includes(String(header.alg))) {
    return invalid('algorithm', 'it must be signed with a public-key algorithm');
  }
  const type = header.typ === undefined ? undefined : mediaType(String(header.typ));
  return types.includes(type) ? accepted(true) : invalid('type', 'its typ says that it is for something else');
}

function checkClaims(
  payload: JWTPayload,
  { issuer, audience, secondsMax, now }: ForeignTokenExpectation,
): Result<ForeignToken, ForeignTokenRefusal> {
  const { iss, sub, aud, exp, iat, nbf, jti } = payload;
  if (issuer !== null && iss !== issuer) return invalid('issuer', 'its iss is not the issuer whose keys signed it');
  // A token for several could be played by any of them to the others.
  const only = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud;
  if (only !== audience) return invalid('audience', `its aud must be exactly ${audience}`);
  if (!isName(sub)) return invalid('claims', 'its sub is missing or unusable');
  if (jti !== undefined && !isName(jti)) return invalid('claims', 'its jti is unusable');
  if (typeof exp !== 'number' || typeof iat !== 'number' || (nbf !== undefined && typeof nbf !== 'number')) {
    return invalid('claims', 'it needs iat and exp as numbers');
  }
  const nowSeconds = now.getTime() / 1_000;
  if (exp <= nowSeconds) return invalid('expired', 'it has expired: get a new one');
  const skew = FOREIGN_TOKEN_CLOCK_SKEW_SECONDS;
  if (iat > nowSeconds + skew || (nbf ?? 0) > nowSeconds + skew) {
    return invalid('not_yet', 'it is not valid yet: the clocks of its issuer and of this server differ');
  }
  if (exp - iat > secondsMax) return invalid('too_long', `it must not live longer than ${secondsMax} s`);
  return accepted({ subject: sub, issuedAt: iat, expiresAt: exp, jti, claims: payload });
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= IDENTIFIER_CHARACTERS_MAX * 2;
}

function mediaType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, '');
}

function signatureProblem(error: errors.JOSEError): string {
  if (error instanceof errors.JWKSNoMatchingKey) return 'its issuer publishes no such key';
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'its issuer has several keys, so it must name one (kid)';
  return 'its signature does not verify with the keys of its issuer';
}

function invalid(code: ForeignTokenRefusal['code'], what: string): Result<never, ForeignTokenRefusal> {
  return refused({ code, message: what });
}
