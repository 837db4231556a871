import type { JsonObject } from '../kernel/json.ts';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';

export interface ProtectedResource {
  /** The resource identifier, as registered and as tokens carry it in `aud`. */
  readonly resource: string;
  readonly issuer: string;
  readonly resourceName?: string;
  readonly scopesSupported?: readonly string[];
  readonly dpopSigningAlgorithms?: readonly string[];
  readonly isDpopRequired?: boolean;
  readonly documentation?: string;
  readonly jwksUri?: string;
  /** Where the keys of transaction challenges are (draft-rosomakho-oauth-txn-challenge-00). */
  readonly txnChallengeJwksUri?: string;
  /** Proves to the issuer that who registered this resource controls its address. */
  readonly registrationNonce?: string;
}

/** The metadata document of RFC 9728 §2. */
export function protectedResourceMetadata(described: ProtectedResource): JsonObject {
  const challengeKeys = described.txnChallengeJwksUri;
  return {
    resource: described.resource,
    authorization_servers: [described.issuer],
    bearer_methods_supported: ['header'],
    ...(described.scopesSupported === undefined ? {} : { scopes_supported: described.scopesSupported }),
    ...(described.resourceName === undefined ? {} : { resource_name: described.resourceName }),
    ...(described.documentation === undefined ? {} : { resource_documentation: described.documentation }),
    ...(described.jwksUri === undefined ? {} : { jwks_uri: described.jwksUri }),
    ...(described.dpopSigningAlgorithms === undefined
      ? {}
      : { dpop_signing_alg_values_supported: described.dpopSigningAlgorithms }),
    ...(described.isDpopRequired === undefined ? {} : { dpop_bound_access_tokens_required: described.isDpopRequired }),
    ...(described.registrationNonce === undefined ? {} : { countersign_registration: described.registrationNonce }),
    ...(challengeKeys === undefined
      ? {}
      : { txn_challenge_jwks_uri: challengeKeys, txn_challenge_signing_alg_values_supported: ['ES256'] }),
  };
}

/** Where the metadata of a resource is: between its host and its path (RFC 9728 §3.1). */
export function protectedResourceMetadataUrl(resource: string): string {
  return `${resourceUrl(resource).origin}${protectedResourceMetadataPath(resource)}`;
}

/** Path and query of `protectedResourceMetadataUrl`. */
export function protectedResourceMetadataPath(resource: string): string {
  const url = resourceUrl(resource);
  return `${WELL_KNOWN}${url.pathname === '/' ? '' : url.pathname}${url.search}`;
}

/**
 * The paths a resource serves its metadata at: the one of RFC 9728 first, then the root, which MCP clients try when the
 * first is not there. They differ only for resources that have a path.
 */
export function protectedResourceMetadataPaths(resource: string): string[] {
  return [...new Set([protectedResourceMetadataPath(resource).replace(/\?.*$/, ''), WELL_KNOWN])];
}

// RFC 8707 §2: an absolute address without a fragment.
function resourceUrl(resource: string): URL {
  const url = URL.parse(resource);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || resource.includes('#')) {
    throw new TypeError(`"${resource}" is no resource identifier: it must be an http(s) address without a fragment.`);
  }
  return url;
}
