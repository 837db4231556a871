// draft-rosomakho-oauth-txn-challenge-00, "OAuth 2.0 Transaction Authorization Challenge" (2026-06-25).

import { type CryptoKey, createLocalJWKSet, errors, type JWK, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { authorizationDetails } from './authorization_details.ts';
import { actor } from './claims.ts';
import {
  IDENTIFIER_CHARACTERS_MAX,
  REASON_CHARACTERS_MAX,
  TXN_CHALLENGE_CHARACTERS_MAX,
  TXN_CHALLENGE_CLOCK_SKEW_SECONDS,
  TXN_CHALLENGE_LIFETIME_SECONDS_MAX,
  URL_CHARACTERS_MAX,
} from './limits.ts';
import { type Refusal, refusal } from './refusals.ts';

export const TXN_CHALLENGE_TYPE = 'txn-authz-challenge+jwt';
const ALGORITHM = 'ES256';

const identifier = z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX);

/** The claims of the draft's "Challenge Claims". Claims we do not know are ignored, as it asks. */
export const txnChallengeClaims = z.object({
  /** The resource identifier of the tool server. */
  iss: z.string().max(URL_CHARACTERS_MAX),
  /** One authorization server only. */
  aud: z.string().max(URL_CHARACTERS_MAX),
  iat: z.number().int(),
  exp: z.number().int(),
  jti: identifier,
  txn: identifier,
  authorization_details: authorizationDetails.min(1),
  reason: z.string().min(1).max(REASON_CHARACTERS_MAX),
  act: actor.optional(),
});
export type TxnChallengeClaims = z.infer<typeof txnChallengeClaims>;

export interface TxnChallengeSigning {
  readonly key: CryptoKey | JWK;
  /** Under which the verifier finds the public key. */
  readonly kid: string;
  readonly now: Date;
  readonly lifetimeSeconds: number;
}

/** Signs a challenge. What no verifier would accept throws: it is the caller's mistake. */
export async function signTxnChallenge(
  claims: Omit<TxnChallengeClaims, 'iat' | 'exp'>,
  signing: TxnChallengeSigning,
): Promise<string> {
  if (!(signing.lifetimeSeconds > 0 && signing.lifetimeSeconds <= TXN_CHALLENGE_LIFETIME_SECONDS_MAX)) {
    throw new TypeError(`A challenge lives at most ${TXN_CHALLENGE_LIFETIME_SECONDS_MAX} s.`);
  }
  const iat = Math.floor(signing.now.getTime() / 1_000);
  const payload = txnChallengeClaims.parse({ ...claims, iat, exp: iat + Math.floor(signing.lifetimeSeconds) });
  return new SignJWT(payload)
    .setProtectedHeader({ alg: ALGORITHM, typ: TXN_CHALLENGE_TYPE, kid: signing.kid })
    .sign(signing.key);
}

export interface TxnChallengeExpectation {
  readonly resource: string;
  readonly issuer: string;
  /** The keys registered for the resource. Nothing in the challenge can name another. */
  readonly keys: readonly JWK[];
  readonly now: Date;
}

/** Verifies a challenge by "Authorization Server Processing". Whether its `txn` is known and unused is the caller's to say. */
export async function verifyTxnChallenge(
  challenge: string,
  expected: TxnChallengeExpectation,
): Promise<Result<TxnChallengeClaims, Refusal>> {
  if (challenge.length > TXN_CHALLENGE_CHARACTERS_MAX) return invalid('it is too long');
  const verified = await verifySignature(challenge, expected);
  if (!verified.ok) return verified;
  const parsed = txnChallengeClaims.safeParse(verified.value);
  if (!parsed.success) {
    const names = [...new Set(parsed.error.issues.map((issue) => String(issue.path[0])))];
    return invalid(`these claims are missing or unusable: ${names.join(', ')}`);
  }
  const { iat, exp } = parsed.data;
  if (iat > expected.now.getTime() / 1_000 + TXN_CHALLENGE_CLOCK_SKEW_SECONDS) {
    return invalid('it was issued in the future; check the clock of the guard');
  }
  if (exp - iat > TXN_CHALLENGE_LIFETIME_SECONDS_MAX) {
    return invalid(`it lives longer than ${TXN_CHALLENGE_LIFETIME_SECONDS_MAX} s`);
  }
  return accepted(parsed.data);
}

async function verifySignature(
  challenge: string,
  expected: TxnChallengeExpectation,
): Promise<Result<unknown, Refusal>> {
  try {
    const { payload } = await jwtVerify(challenge, createLocalJWKSet({ keys: [...expected.keys] }), {
      algorithms: [ALGORITHM],
      typ: TXN_CHALLENGE_TYPE,
      issuer: expected.resource,
      audience: expected.issuer,
      currentDate: expected.now,
      clockTolerance: TXN_CHALLENGE_CLOCK_SKEW_SECONDS,
      requiredClaims: ['iat', 'exp'],
    });
    return accepted(payload);
  } catch (error) {
    if (error instanceof errors.JOSEError) return invalid(whatIsWrong(error));
    throw error;
  }
}

function whatIsWrong(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'it has expired';
  if (error instanceof errors.JWTClaimValidationFailed) return `its ${error.claim} is not the expected one`;
  if (error instanceof errors.JWKSNoMatchingKey) return 'its kid names no registered key';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'its signature does not verify';
  if (error instanceof errors.JOSEAlgNotAllowed) return `its algorithm is not ${ALGORITHM}`;
  return 'it is not a signed JWT';
}

function invalid(what: string): Result<never, Refusal> {
  return refused(refusal('challenge_invalid', `The transaction challenge is refused: ${what}.`));
}

/**
 * Whether a request asks for challenges: `Accept-Txn-Challenge: ?1`, one Boolean Item (RFC 9651 §3.3.6). Parameters are
 * ignored; a repeated header is a List and counts as absent.
 */
export function acceptsTxnChallenge(header: string | readonly string[] | undefined): boolean {
  return typeof header === 'string' && /^ *\?1 *(?:;[^,]*)?$/.test(header);
}
