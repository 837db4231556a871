import { type CryptoKey, errors, type JWK, type JWTVerifyGetKey, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { accepted, type Result, refused } from '../kernel/result.ts';
import {
  IDENTIFIER_CHARACTERS_MAX,
  LEASE_CHARACTERS_MAX,
  LEASE_KEYS_MAX,
  LEASE_REVOCATIONS_MAX,
  LEASE_SECONDS_MAX,
  URL_CHARACTERS_MAX,
} from './limits.ts';
import { SIGNING_ALGORITHM } from './signing_key.ts';

/** Keeps leases and access tokens apart, whatever key signed them (RFC 8725 §3.11). */
export const LEASE_TYPE = 'countersign-lease+jwt';

const identifier = z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX);
const url = z.string().min(1).max(URL_CHARACTERS_MAX);
const count = z.number().int().nonnegative();
/** RFC 7519 §2: seconds since 1970, with a fraction where it helps. */
const numericDate = z.number().nonnegative();

/**
 * What a revocation is about. A guard that does not know the word must forget everything it remembers.
 * `token`, `task`, `delegation`, `agent`, `person`, `tool_server`, `key` and `grant` are dead; `keys` and `policy` changed.
 */
export const REVOKED = [
  'token',
  'task',
  'delegation',
  'agent',
  'person',
  'tool_server',
  'key',
  'grant',
  'keys',
  'policy',
] as const;
export type Revoked = (typeof REVOKED)[number];

export const revocationSchema = z.object({
  what: z.string().min(1).max(32),
  /** Of the token its `jti`, of a key its `kid`, of a policy its serial; else our own id. */
  id: identifier,
  /** When it happened, by the clock of PostgreSQL. An agent may be active again later: what was issued before stays dead. */
  at: numericDate,
});
export type Revocation = z.infer<typeof revocationSchema>;

/** The claims of a lease (design §4): what one guard may rely on, and until when. */
export const leaseClaimsSchema = z.object({
  /** The issuer of the access tokens. */
  iss: url,
  /** The resource identifier of the tool server. One only. */
  aud: url,
  iat: count,
  /** The lease says nothing any more from here on: at most 60 s after `server_time`. */
  exp: numericDate,
  /** As the guard sent it with its request, so that no answer to another request passes for this one's. */
  nonce: identifier,
  /** Which log the position belongs to. A new one means that nothing known before holds. */
  epoch: identifier,
  /**
   * Never falls within an epoch; a lease with a lower one than the guard holds is an old one and is refused. All that a
   * lease says is in the log or follows from it, so this is the position.
   */
  serial: count,
  /** How many events of the sealed log this lease has taken in. The guard names it in its next request. */
  position: count,
  /** The RFC 6962 root of these events in base64, empty for none: it tells a restored log from the one before. */
  head: z.string().max(64),
  /** The clock of PostgreSQL when the lease was made, to the millisecond. */
  server_time: numericDate,
  /** For how many seconds the server kept the request before it answered: the rest of the round trip was the way. */
  waited: z.number().nonnegative(),
  /** What was revoked since the position in the request; without one, what tokens that still live may be touched by. */
  revocations: z.array(revocationSchema).max(LEASE_REVOCATIONS_MAX),
  /** The guard missed something that this lease cannot name: it must forget all that it remembers. */
  resync: z.literal(true).optional(),
  /** The ids of the keys that verify access tokens now, also those that do not sign yet. No other key does. */
  keys: z.array(identifier).max(LEASE_KEYS_MAX),
  /** DPoP proofs of callers need a nonce of the guard's (RFC 9449 §9). */
  dpop_nonces: z.literal(true).optional(),
});
export type LeaseClaims = z.infer<typeof leaseClaimsSchema>;

export type LeaseContent = Omit<LeaseClaims, 'iat' | 'exp' | 'server_time'>;

/** Signs a lease that is good for `lifetimeSeconds` from `serverTime`. What no guard would accept throws. */
export async function buildLease(
  content: LeaseContent,
  signing: { readonly key: JWK; readonly serverTime: Date; readonly lifetimeSeconds: number },
): Promise<string> {
  const { key, serverTime, lifetimeSeconds } = signing;
  if (!(lifetimeSeconds > 0 && lifetimeSeconds <= LEASE_SECONDS_MAX)) {
    throw new TypeError(`A lease lasts at most ${LEASE_SECONDS_MAX} s.`);
  }
  if (key.kid === undefined) throw new TypeError('The key that signs leases has no "kid".');
  const server_time = serverTime.getTime() / 1000;
  const times = { iat: Math.floor(server_time), exp: server_time + lifetimeSeconds, server_time };
  const payload = leaseClaimsSchema.parse({ ...content, ...times });
  return new SignJWT(payload).setProtectedHeader({ alg: SIGNING_ALGORITHM, typ: LEASE_TYPE, kid: key.kid }).sign(key);
}

/** Why a lease is not one; for the log of the guard, since no caller sees it. */
export interface LeaseRefusal {
  readonly code:
    | 'malformed'
    | 'type'
    | 'signature'
    | 'key'
    | 'issuer'
    | 'audience'
    | 'nonce'
    | 'expired'
    | 'claims'
    | 'serial'
    | 'position';
  readonly message: string;
  /** Where the signature holds and only the time is wrong: the clocks may differ. */
  readonly serverTime?: Date;
}

export interface LeaseExpectation {
  readonly issuer: string;
  readonly resource: string;
  readonly nonce: string;
  readonly keys: JWTVerifyGetKey | CryptoKey | JWK;
  readonly now: Date;
}

/** Verifies one lease by itself: type, signature, issuer, audience, claims, nonce, life. Throws what finding a key throws. */
export async function verifyLease(
  lease: string,
  expected: LeaseExpectation,
): Promise<Result<LeaseClaims, LeaseRefusal>> {
  if (lease.length > LEASE_CHARACTERS_MAX) return refuse('malformed', 'It is too long.');
  let verified: { payload: unknown; protectedHeader: { kid?: string } };
  try {
    // Expiry is compared below, with the time it has from the server.
    verified = await jwtVerify(lease, expected.keys as JWTVerifyGetKey, {
      algorithms: [SIGNING_ALGORITHM],
      typ: LEASE_TYPE,
      issuer: expected.issuer,
      audience: expected.resource,
      currentDate: new Date(0),
    });
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    return refuse(code, (error as Error).message);
  }
  const parsed = leaseClaimsSchema.safeParse(verified.payload);
  if (!parsed.success) {
    const names = [...new Set(parsed.error.issues.map((issue) => String(issue.path[0] ?? 'payload')))];
    return refuse('claims', `These claims are missing or unusable: ${names.join(', ')}.`);
  }
  return checkClaims(parsed.data, verified.protectedHeader.kid, expected);
}

function checkClaims(
  claims: LeaseClaims,
  kid: string | undefined,
  expected: LeaseExpectation,
): Result<LeaseClaims, LeaseRefusal> {
  // One key, one use: what signs tokens does not sign leases (design-review 17).
  if (kid === undefined || claims.keys.includes(kid)) {
    return refuse('key', 'It is signed with a key that signs access tokens.');
  }
  if (claims.nonce !== expected.nonce) return refuse('nonce', 'It is the answer to another request.');
  if (claims.serial < claims.position) return refuse('claims', 'Its serial is below its position.');
  if (claims.exp <= claims.server_time || claims.exp > claims.server_time + LEASE_SECONDS_MAX) {
    return refuse('claims', `It does not last between 0 and ${LEASE_SECONDS_MAX} s.`);
  }
  if (claims.exp * 1000 <= expected.now.getTime()) {
    return refused({
      code: 'expired',
      message: 'It has expired by the clock of this guard.',
      serverTime: new Date(claims.server_time * 1000),
    });
  }
  return accepted(claims);
}

/** Null for what is not the lease's fault. */
function codeOf(error: unknown): LeaseRefusal['code'] | null {
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'typ') return 'type';
    if (error.claim === 'iss') return 'issuer';
    return error.claim === 'aud' ? 'audience' : 'claims';
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return 'key';
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return 'malformed';
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return 'malformed';
  return null;
}

function refuse(code: LeaseRefusal['code'], message: string): Result<never, LeaseRefusal> {
  return refused({ code, message });
}
