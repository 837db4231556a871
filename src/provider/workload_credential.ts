import type { WorkloadIssuer } from '../model/federation.ts';
import { peekForeignToken } from '../wire/foreign_token.ts';
import { ID_JAG_TYPE, JWT_BEARER_GRANT } from '../wire/identity_assertion_id_jag_04.ts';
import type { FormFields } from './request_body.ts';

/** RFC 7523 §2.2, and draft-ietf-oauth-spiffe-client-auth-02 §3.1 for JWT-SVIDs. */
const ASSERTION_TYPES = new Set([
  'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
]);

/** The token of a platform in a request, before anybody verified it. */
export interface WorkloadCredential {
  readonly token: string;
  readonly platform: WorkloadIssuer;
  /** Sent in place of client authentication and grant at once (MCP SEP-1933), not as client authentication. */
  readonly isGrant: boolean;
  /** The agent it wants to be. */
  readonly clientId: string | undefined;
}

/**
 * Finds a platform's token among the fields of a form, by the issuer that it names. What is given twice, or beside another
 * way to authenticate, is left for the engine to refuse.
 */
export function findWorkloadCredential(
  form: FormFields,
  hasAuthorization: boolean,
  platforms: readonly WorkloadIssuer[],
): WorkloadCredential | undefined {
  const { client_assertion: assertion, client_assertion_type: type, client_id: named, grant_type: grant } = form;
  if (hasAuthorization || form.client_secret !== undefined || Array.isArray(named)) return undefined;
  const isGrant = assertion === undefined && grant === JWT_BEARER_GRANT;
  const token = isGrant
    ? form.assertion
    : typeof type === 'string' && ASSERTION_TYPES.has(type)
      ? assertion
      : undefined;
  const said = typeof token === 'string' ? peekForeignToken(token) : undefined;
  if (typeof token !== 'string' || said === undefined || said.type === ID_JAG_TYPE) return undefined;
  const platform = platformOf(said, platforms);
  if (platform === undefined) return undefined;
  // The draft for SPIFFE names the client by its SPIFFE ID, which is the subject.
  const clientId = named === said.subject ? undefined : named;
  return { token, platform, isGrant, clientId };
}

function platformOf(
  said: { readonly issuer: unknown; readonly subject: unknown },
  platforms: readonly WorkloadIssuer[],
): WorkloadIssuer | undefined {
  const byIssuer = platforms.find(({ kind, issuer }) => kind === 'oidc' && issuer === said.issuer);
  // JWT-SVID §3: iss is not needed; the trust domain is part of the subject.
  return (
    byIssuer ??
    platforms.find(
      ({ kind, issuer }) =>
        kind === 'spiffe' && typeof said.subject === 'string' && said.subject.startsWith(`${issuer}/`),
    )
  );
}
