import type { JsonObject } from '../kernel/json.ts';
import {
  protectedResourceMetadata,
  protectedResourceMetadataPaths,
  protectedResourceMetadataUrl,
} from '../wire/protected_resource_rfc9728.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { SIGNING_ALGORITHM, type SigningKey } from '../wire/signing_key.ts';

const KEYS_PATH = '/.well-known/countersign-guard-keys';
const METADATA_SECONDS = 60;

export interface PublishedMetadata {
  /** For `resource_metadata` in challenges. */
  readonly url: string;
  document(): JsonObject;
  /** The answer to a request for the metadata or the keys; null for any other path. */
  serve(request: Request): Response | null;
}

/** While the registration waits, the document carries its nonce: proof that this guard controls the address. */
export function publishedMetadata(
  options: { readonly issuer: string; readonly resource: string; readonly name: string },
  key: SigningKey,
  registrationNonce: () => string | undefined,
): PublishedMetadata {
  const { origin, pathname } = new URL(options.resource);
  const keysPath = `${KEYS_PATH}${pathname === '/' ? '' : pathname}`;
  const documentPaths = protectedResourceMetadataPaths(options.resource);
  const document = (): JsonObject => {
    const nonce = registrationNonce();
    return {
      ...protectedResourceMetadata({
        resource: options.resource,
        issuer: options.issuer,
        resourceName: options.name,
        scopesSupported: [BASE_SCOPE],
        dpopSigningAlgorithms: [SIGNING_ALGORITHM],
        jwksUri: `${origin}${keysPath}`,
        txnChallengeJwksUri: `${origin}${keysPath}`,
      }),
      ...(nonce === undefined ? {} : { countersign_registration: nonce }),
    };
  };
  return {
    url: protectedResourceMetadataUrl(options.resource),
    document,
    serve(request) {
      const path = new URL(request.url).pathname;
      const isKeys = path === keysPath;
      if (!isKeys && !documentPaths.includes(path)) return null;
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } });
      }
      const body = isKeys ? { keys: [key.publicJwk] } : document();
      const maxAge = registrationNonce() === undefined ? METADATA_SECONDS : 0;
      return new Response(request.method === 'HEAD' ? null : JSON.stringify(body), {
        headers: {
          'content-type': 'application/json',
          'cache-control': `public, max-age=${maxAge}`,
          // Public by nature; browser-based clients read it before they have anything.
          'access-control-allow-origin': '*',
        },
      });
    },
  };
}
