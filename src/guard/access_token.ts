import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { actors, parseAccessTokenClaims } from '../wire/claims.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { SIGNING_ALGORITHM } from '../wire/signing_key.ts';
import { BoundedMap } from './bounded_map.ts';
import type { Caller } from './caller.ts';
import type { HeldLease, TokenNames } from './held_lease.ts';
import type { IssuerKeys } from './issuer_keys.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { ACCESS_TOKEN_CHARACTERS_MAX, VERDICTS_MAX } from './limits.ts';

/** The verified token, before any proof of possession was checked. */
export interface TokenVerdict extends Omit<Caller, 'dpopJkt'> {
  readonly boundTo: string | null;
  readonly names: TokenNames;
}

export type VerifyAccessToken = (token: string, now: Date) => Promise<Result<TokenVerdict, Refusal>>;

export interface TokenVerification {
  readonly issuer: string;
  readonly resource: string;
  readonly keys: Pick<IssuerKeys, 'find' | 'has' | 'lookFor'>;
  readonly lease: Pick<HeldLease, 'allowsKey' | 'isRevoked'>;
  /** Asks for a lease now, because the one that is held does not know a key. Never rejects. */
  readonly renewLease: () => Promise<void>;
  readonly verdicts: BoundedMap<TokenVerdict>;
}

/** Verdicts by the hash of their token. */
export function rememberedVerdicts(): BoundedMap<TokenVerdict> {
  return new BoundedMap(VERDICTS_MAX);
}

/**
 * Verifies access tokens (RFC 9068 §4) of one issuer for one resource with its cached keys. A verdict is remembered until
 * the token expires, or until a lease says that what the token names was revoked; what a call may do is decided by the
 * server in any case. Throws IssuerOutage when the keys cannot be read, which must not look like a bad token.
 */
export function accessTokenVerifier(options: TokenVerification): VerifyAccessToken {
  const { lease, verdicts } = options;
  const findKey = keyFinder(options);
  return async (token, now) => {
    if (token.length > ACCESS_TOKEN_CHARACTERS_MAX)
      return refused(refusal('token_invalid', 'The access token is too long.'));
    const hash = sha256Base64url(token);
    const known = verdicts.get(hash, now.getTime());
    if (known !== undefined) {
      if (isInForce(lease, known, now)) return accepted(known);
      verdicts.delete(hash);
      return refused(revokedToken());
    }
    const verified = await verify(token, findKey, options, now);
    if (!verified.ok) return verified;
    const verdict = readVerdict(token, verified.value.payload, verified.value.kid);
    if (!verdict.ok) return verdict;
    if (!isInForce(lease, verdict.value, now)) return refused(revokedToken());
    verdicts.set(hash, verdict.value, verdict.value.expiresAt * 1000);
    return verdict;
  };
}

function isInForce(lease: TokenVerification['lease'], { names }: TokenVerdict, now: Date): boolean {
  return lease.allowsKey(names.kid) && !lease.isRevoked(names, now.getTime());
}

function revokedToken(): Refusal {
  return refusal('token_invalid', 'The access token was revoked, or its task, its agent or its key was.');
}

/** The keys of leases are published beside those of tokens; only what the lease names verifies tokens. */
function keyFinder({ keys, lease, renewLease }: TokenVerification): JWTVerifyGetKey {
  return async (header, token) => {
    const { kid } = header;
    if (kid === undefined) throw new errors.JWKSNoMatchingKey();
    if (!keys.has(kid)) await keys.lookFor();
    if (!keys.has(kid)) throw new errors.JWKSNoMatchingKey();
    if (!lease.allowsKey(kid)) await renewLease();
    if (!lease.allowsKey(kid)) throw new errors.JWKSNoMatchingKey();
    return keys.find(header, token);
  };
}

async function verify(
  token: string,
  findKey: JWTVerifyGetKey,
  { issuer, resource }: TokenVerification,
  now: Date,
): Promise<Result<{ payload: JWTPayload; kid: string }, Refusal>> {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, findKey, {
      issuer,
      audience: resource,
      typ: 'at+jwt',
      algorithms: [SIGNING_ALGORITHM],
      requiredClaims: ['exp', 'iat', 'sub'],
      currentDate: now,
    });
    if (payload.aud === resource) return accepted({ payload, kid: protectedHeader.kid ?? '' });
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

function readVerdict(token: string, payload: JWTPayload, kid: string): Result<TokenVerdict, Refusal> {
  const claims = parseAccessTokenClaims(payload);
  if (!claims.ok) return claims;
  const { sub, client_id: clientId, act, task, exp, iat, jti, cnf } = claims.value;
  if (act === undefined) return refused(refusal('token_invalid', 'The access token does not say which agent acts.'));
  return accepted({
    accessToken: token,
    clientId,
    requester: sub,
    agent: act.sub,
    task: task.id,
    rootTask: task.root,
    delegation: task.delegation ?? null,
    actors: actors(act).map((actor) => actor.sub),
    expiresAt: exp,
    boundTo: cnf?.jkt ?? null,
    names: {
      jti,
      requester: sub,
      agents: actors(act).map((actor) => actor.sub),
      tasks: [task.id, task.root],
      delegations: task.delegation === undefined ? [] : [task.delegation],
      kid,
      issuedAt: iat,
    },
  });
}
