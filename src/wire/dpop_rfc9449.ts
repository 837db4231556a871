import {
  base64url,
  type CryptoKey,
  calculateJwkThumbprint,
  decodeProtectedHeader,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  jwtVerify,
  SignJWT,
} from 'jose';
import { z } from 'zod';
import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import {
  DPOP_PROOF_AGE_SECONDS_MAX,
  DPOP_PROOF_AHEAD_SECONDS_MAX,
  DPOP_PROOF_CHARACTERS_MAX,
  IDENTIFIER_CHARACTERS_MAX,
  URL_CHARACTERS_MAX,
} from './limits.ts';
import { type Refusal, refusal } from './refusals.ts';

const DPOP_TYPE = 'dpop+jwt';

/** EdDSA and Ed25519 (RFC 9864) are two names of one algorithm. */
export const DPOP_ALGORITHMS = ['ES256', 'EdDSA', 'Ed25519'] as const;
export type DpopAlgorithm = (typeof DPOP_ALGORITHMS)[number];

export interface DpopKey {
  readonly alg: DpopAlgorithm;
  readonly privateKey: CryptoKey | JWK;
  /** Goes into every proof. */
  readonly publicJwk: JWK;
}

export async function generateDpopKey(alg: DpopAlgorithm = 'ES256'): Promise<DpopKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg);
  return { alg, privateKey, publicJwk: await exportJWK(publicKey) };
}

/** The `jkt` of tokens bound to this key (RFC 9449 §6.1, RFC 7638). */
export function dpopThumbprint(publicJwk: JWK): Promise<string> {
  return calculateJwkThumbprint(publicJwk, 'sha256');
}

export interface DpopProofInput {
  readonly htm: string;
  /** The address of the request; query and fragment are left out of the proof. */
  readonly htu: string;
  readonly accessToken?: string | undefined;
  /** From the `DPoP-Nonce` header of an earlier answer. */
  readonly nonce?: string | undefined;
  readonly now?: Date;
}

/** Makes the proof of one request (RFC 9449 §4.2). */
export async function createDpopProof(key: DpopKey, request: DpopProofInput): Promise<string> {
  const { kty, crv, x, y } = key.publicJwk;
  const jwk = { kty, crv, x, ...(y === undefined ? {} : { y }) } as JWK;
  return new SignJWT({
    jti: base64url.encode(crypto.getRandomValues(new Uint8Array(16))),
    htm: request.htm,
    htu: withoutQuery(request.htu) ?? request.htu,
    iat: Math.floor((request.now ?? new Date()).getTime() / 1_000),
    ...(request.accessToken === undefined ? {} : { ath: sha256Base64url(request.accessToken) }),
    ...(request.nonce === undefined ? {} : { nonce: request.nonce }),
  })
    .setProtectedHeader({ alg: key.alg, typ: DPOP_TYPE, jwk })
    .sign(key.privateKey);
}

export interface DpopExpectation {
  readonly htm: string;
  readonly htu: string;
  /** The token the proof came with; its `ath` is required then. */
  readonly accessToken?: string | undefined;
  /** The key that token is bound to. */
  readonly jkt?: string | undefined;
  readonly nonce?: string | undefined;
  readonly now: Date;
}

export interface DpopProof {
  readonly jkt: string;
  /** The caller refuses a `jti` it saw from this key within DPOP_PROOF_AGE_SECONDS_MAX. */
  readonly jti: string;
  readonly iat: number;
  readonly nonce: string | undefined;
}

const header = z.object({
  typ: z.literal(DPOP_TYPE),
  alg: z.enum(DPOP_ALGORITHMS),
  jwk: z.record(z.string(), z.unknown()),
});

const claims = z.object({
  jti: z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX),
  htm: z.string().max(IDENTIFIER_CHARACTERS_MAX),
  htu: z.string().max(URL_CHARACTERS_MAX),
  iat: z.number(),
  ath: z.string().optional(),
  nonce: z.string().optional(),
});

/** Checks a proof by RFC 9449 §4.3. `proof` is the DPoP header as it came: absent or repeated is refused too. */
export async function verifyDpopProof(
  proof: string | readonly string[] | undefined,
  expected: DpopExpectation,
): Promise<Result<DpopProof, Refusal>> {
  // Steps 1 and 2; a repeated header that was joined with commas is no JWT.
  if (typeof proof !== 'string') return invalid('the request needs exactly one DPoP header');
  if (proof.length > DPOP_PROOF_CHARACTERS_MAX) return invalid('it is too long');
  // Steps 4, 5 and 7, before any key is used.
  const jwk = embeddedKey(proof);
  if (!jwk.ok) return jwk;
  // Steps 3 and 6.
  const payload = await verifySignature(proof, jwk.value, expected.now);
  if (!payload.ok) return payload;
  const parsed = claims.safeParse(payload.value);
  if (!parsed.success) {
    const names = [...new Set(parsed.error.issues.map((issue) => String(issue.path[0])))];
    return invalid(`these claims are missing or unusable: ${names.join(', ')}`);
  }
  const jkt = await dpopThumbprint(jwk.value);
  const wrong = wrongClaim(parsed.data, expected, jkt);
  const { jti, iat, nonce } = parsed.data;
  return wrong === null ? accepted({ jkt, jti, iat, nonce }) : invalid(wrong);
}

function embeddedKey(proof: string): Result<JWK, Refusal> {
  let decoded: unknown;
  try {
    decoded = decodeProtectedHeader(proof);
  } catch {
    return invalid('it is not a signed JWT');
  }
  const parsed = header.safeParse(decoded);
  if (!parsed.success) {
    return invalid(`its header needs typ ${DPOP_TYPE}, alg ${DPOP_ALGORITHMS.join(' or ')}, and the public key in jwk`);
  }
  const jwk = parsed.data.jwk;
  // RFC 7518: the private members of every kind of key, and those of symmetric keys.
  if (['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'].some((member) => Object.hasOwn(jwk, member))) {
    return invalid('its jwk holds a private key, which is exposed now: make a new one');
  }
  const isFit = parsed.data.alg === 'ES256' ? jwk.kty === 'EC' && jwk.crv === 'P-256' : jwk.crv === 'Ed25519';
  return isFit ? accepted(jwk as JWK) : invalid('its jwk is not a key of its alg');
}

async function verifySignature(proof: string, jwk: JWK, currentDate: Date): Promise<Result<unknown, Refusal>> {
  const { kty, crv, x, y } = jwk;
  try {
    const alg = decodeProtectedHeader(proof).alg as DpopAlgorithm;
    const key = await importJWK({ kty, crv, x, ...(y === undefined ? {} : { y }) } as JWK, alg);
    const { payload } = await jwtVerify(proof, key, { algorithms: [...DPOP_ALGORITHMS], typ: DPOP_TYPE, currentDate });
    return accepted(payload);
  } catch (error) {
    // Node's own errors, for coordinates that are no point of the curve, have no class to recognise them by.
    if (error instanceof errors.JWSSignatureVerificationFailed) return invalid('its signature does not verify');
    return invalid('its key or its signature cannot be used');
  }
}

/** Steps 8 to 12. */
function wrongClaim(proof: z.infer<typeof claims>, expected: DpopExpectation, jkt: string): string | null {
  if (proof.htm !== expected.htm) return `it was made for another method than ${expected.htm}`;
  const htu = withoutQuery(proof.htu);
  if (htu === null || htu !== withoutQuery(expected.htu)) return 'it was made for another address (htu)';
  if (expected.nonce !== undefined && proof.nonce !== expected.nonce) return 'it needs the nonce from DPoP-Nonce';
  const nowSeconds = expected.now.getTime() / 1_000;
  if (proof.iat < nowSeconds - DPOP_PROOF_AGE_SECONDS_MAX) return 'it is too old; check the clock and make a fresh one';
  if (proof.iat > nowSeconds + DPOP_PROOF_AHEAD_SECONDS_MAX) return 'it was made in the future; check the clock';
  if (expected.accessToken !== undefined && proof.ath !== sha256Base64url(expected.accessToken)) {
    return 'it was made for another access token (ath)';
  }
  if (expected.jkt !== undefined && jkt !== expected.jkt) return 'the access token is bound to another key';
  return null;
}

/** Scheme, host and path after the normalization of RFC 3986 §6.2.2 and §6.2.3; null for what is no http(s) address. */
function withoutQuery(address: string): string | null {
  const url = URL.parse(address);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) return null;
  return url.origin + url.pathname;
}

function invalid(what: string): Result<never, Refusal> {
  return refused(refusal('dpop_proof_invalid', `The DPoP proof is refused: ${what}.`));
}
