import { z } from 'zod';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { ForeignToken, ForeignTokenRefusal } from './foreign_token.ts';
import { IDENTIFIER_CHARACTERS_MAX, SCOPE_CHARACTERS_MAX, URL_CHARACTERS_MAX } from './limits.ts';

// draft-ietf-oauth-identity-assertion-authz-grant-04 (21 May 2026), which MCP Enterprise-Managed Authorization profiles.

/** §3: the type of the assertion. */
export const ID_JAG_TYPE = 'oauth-id-jag+jwt';
/** §7.2: how an authorization server says that it accepts them. */
export const ID_JAG_PROFILE = 'urn:ietf:params:oauth:grant-profile:id-jag';
/** RFC 7523 §2.1. */
export const JWT_BEARER_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

/** An assertion of an identity provider that this client acts for this person at this resource. */
export interface IdentityAssertion {
  readonly subject: string;
  readonly jti: string;
  readonly clientId: string;
  /** As written; at least one. */
  readonly resources: readonly string[];
  /** Undefined where it does not limit them. */
  readonly scopes: readonly string[] | undefined;
  /** The key that the presenter must prove, if the assertion is bound to one. */
  readonly jkt: string | undefined;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

const url = z.string().min(1).max(URL_CHARACTERS_MAX);

const claims = z.object({
  jti: z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX),
  client_id: url,
  // Optional in the draft; MCP restricts the access token to it, so that without one there is nothing to issue.
  resource: z.union([url, z.array(url).min(1).max(16)]),
  scope: z.string().max(SCOPE_CHARACTERS_MAX).optional(),
  tenant: z.string().max(IDENTIFIER_CHARACTERS_MAX).optional(),
  cnf: z.strictObject({ jkt: z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX) }).optional(),
  act: z.never({ error: 'a chain of another system cannot be continued here' }).optional(),
  authorization_details: z.array(z.never({ error: 'its types are not known here' })).optional(),
});

/** §4.4.1, beyond what RFC 7523 asks. Whether client and resource are those of the request is for the caller to compare. */
export function readIdentityAssertion(
  token: ForeignToken,
  tenant: string | null,
): Result<IdentityAssertion, ForeignTokenRefusal> {
  const parsed = claims.safeParse(token.claims);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    return refused({ code: 'claims', message: `its ${String(issue.path[0])} is unusable: ${issue.message}` });
  }
  const { jti, client_id, resource, scope, cnf } = parsed.data;
  if ((parsed.data.tenant ?? null) !== tenant) {
    return refused({ code: 'claims', message: 'it is of another organisation (tenant)' });
  }
  return accepted({
    subject: token.subject,
    jti,
    clientId: client_id,
    resources: typeof resource === 'string' ? [resource] : resource,
    scopes: scope?.split(' ').filter((one) => one !== ''),
    jkt: cnf?.jkt,
    issuedAt: token.issuedAt,
    expiresAt: token.expiresAt,
  });
}
