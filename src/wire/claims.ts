import { z } from 'zod';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { authorizationDetails } from './authorization_details.ts';
import { ACT_DEPTH_MAX, IDENTIFIER_CHARACTERS_MAX, SCOPE_CHARACTERS_MAX, URL_CHARACTERS_MAX } from './limits.ts';
import { type Refusal, refusal } from './refusals.ts';

const identifier = z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX);
const url = z.string().min(1).max(URL_CHARACTERS_MAX);
const seconds = z.number().int().nonnegative();

const anyActor = z.object({
  sub: identifier,
  client_id: url.optional(),
  get act(): z.ZodOptional<typeof anyActor> {
    return anyActor.optional();
  },
});
/** RFC 8693 §4.1: who acts now, and inside `act` who acted before. */
export type Actor = z.infer<typeof anyActor>;
export const actor = anyActor.refine((act) => actors(act).length <= ACT_DEPTH_MAX, 'delegated too often');

/** The claims of our access tokens (RFC 9068). A `txn` or a task id is a pointer: it grants nothing by itself. */
export const accessTokenClaims = z.object({
  iss: url,
  sub: identifier,
  /** One audience only: the resource identifier of the tool server. */
  aud: url,
  /** A URL where the client is known by its metadata document. */
  client_id: url,
  exp: seconds,
  iat: seconds,
  jti: identifier,
  scope: z.string().max(SCOPE_CHARACTERS_MAX).default(''),
  /** Its `delegation` is the hop the token is of; a token without one is of the task's own agent. */
  task: z.object({ id: identifier, root: identifier, delegation: identifier.optional() }),
  act: actor.optional(),
  authorization_details: authorizationDetails.optional(),
  /** The thumbprint of the DPoP key the token is bound to (RFC 9449 §6.1). */
  cnf: z.object({ jkt: z.string().regex(/^[A-Za-z0-9_-]{43}$/) }).optional(),
  auth_time: seconds.optional(),
  acr: identifier.optional(),
  amr: z.array(identifier).optional(),
  txn: identifier.optional(),
  /** Its bit in the Token Status List (draft-ietf-oauth-status-list). */
  status: z.object({ status_list: z.object({ idx: seconds, uri: url }) }).optional(),
});
export type AccessTokenClaims = z.infer<typeof accessTokenClaims>;

/** Reads the payload of a token whose signature, issuer, audience and expiry have been verified. */
export function parseAccessTokenClaims(payload: unknown): Result<AccessTokenClaims, Refusal> {
  const parsed = accessTokenClaims.safeParse(payload);
  if (parsed.success) return accepted(parsed.data);
  const places = [...new Set(parsed.error.issues.map((issue) => String(issue.path[0] ?? 'payload')))];
  return refused(refusal('token_invalid', `The access token has unusable claims: ${places.join(', ')}.`));
}

/** The chain of actors, the one who acts now first. Stops one past the limit, so that no chain is too long to walk. */
export function actors(act: Actor | undefined): Actor[] {
  const chain: Actor[] = [];
  for (let at = act; at !== undefined && chain.length <= ACT_DEPTH_MAX; at = at.act) chain.push(at);
  return chain;
}
