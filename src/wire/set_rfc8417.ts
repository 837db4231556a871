import { CompactSign, importJWK, type JWK } from 'jose';
import { z } from 'zod';
import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject } from '../kernel/json.ts';
import { IDENTIFIER_CHARACTERS_MAX, URL_CHARACTERS_MAX } from './limits.ts';
import type { Subject } from './subject_identifiers_rfc9493.ts';

// RFC 8417 (July 2018), as profiled by OpenID SSF 1.0 §4.1: typed, without `sub` and `exp`, one event in each token.

/** The `typ` of a security event token: no token of another kind is taken for one (RFC 8417 §2.3). */
export const SET_TYPE = 'secevent+jwt';
export const SET_MEDIA_TYPE = 'application/secevent+jwt';

export interface SecurityEvent {
  readonly type: string;
  readonly subject: Subject;
  readonly claims: JsonObject;
}

/** The claims of a token as the text that is signed, the same in every attempt to send it. */
export function writeSetClaims(
  event: SecurityEvent,
  token: {
    readonly issuer: string;
    readonly audience: string;
    readonly jti: string;
    readonly issuedAt: Date;
    /** One for all tokens that the same thing caused. */
    readonly txn?: string;
  },
): string {
  return canonicalJson({
    iss: token.issuer,
    aud: token.audience,
    jti: token.jti,
    iat: Math.floor(token.issuedAt.getTime() / 1000),
    ...(token.txn === undefined ? {} : { txn: token.txn }),
    sub_id: { ...event.subject } as JsonObject,
    events: { [event.type]: event.claims },
  });
}

/** Signs claims with a private JWK that has `alg` and `kid`. */
export async function signSet(claims: string, key: JWK): Promise<string> {
  return new CompactSign(Buffer.from(claims))
    .setProtectedHeader({ alg: key.alg!, kid: key.kid!, typ: SET_TYPE })
    .sign(await importJWK(key, key.alg!));
}

const setClaims = z.object({
  iss: z.string().min(1).max(URL_CHARACTERS_MAX),
  jti: z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX),
  iat: z.number().int().nonnegative(),
  // SSF 1.0 §4.1.3: what has one of these is another kind of token.
  sub: z.never().optional(),
  exp: z.never().optional(),
  sub_id: z.unknown().optional(),
  events: z.record(z.string().min(1).max(URL_CHARACTERS_MAX), z.record(z.string(), z.unknown())),
});

/** What we read of a security event token of somebody else; `type` is the URI of its event. */
export interface ReceivedEvent {
  readonly issuer: string;
  readonly jti: string;
  readonly issuedAt: Date;
  readonly subject: unknown;
  readonly type: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Reads a payload whose signature was verified; undefined if it is not a token with exactly one event. */
export function readSetClaims(payload: unknown): ReceivedEvent | undefined {
  const parsed = setClaims.safeParse(payload);
  if (!parsed.success) return undefined;
  const { iss, jti, iat, sub_id, events } = parsed.data;
  const [event, ...more] = Object.entries(events);
  // SSF 1.0 §4.2.1 would allow other names of the same event; which of several counts would be a guess.
  if (event === undefined || more.length > 0) return undefined;
  return { issuer: iss, jti, issuedAt: new Date(iat * 1000), subject: sub_id, type: event[0], claims: event[1] };
}
