import type { Configuration } from 'oidc-provider';
import type { Logger } from '../kernel/logger.ts';
import type { SafeFetch } from '../kernel/safe_fetch.ts';
import { CLIENT_DOCUMENT_SECONDS_MAX, CLIENT_DOCUMENT_SECONDS_MIN } from './limits.ts';

export interface ClientDocumentRules {
  /** Whether a client may be known by the address of its metadata document. */
  readonly enabled: boolean;
  /** Domains whose hosts may publish clients, subdomains included; empty means every public host. */
  readonly allowedDomains: readonly string[];
  /** Exact `host:port` pairs beside them, also private ones, for tests and development. */
  readonly allowedHosts: readonly string[];
}

type ClientDocuments = NonNullable<NonNullable<Configuration['features']>['clientIdMetadataDocument']>;

const KEYLESS_OR_ASYMMETRIC = new Set(['none', 'private_key_jwt']);

/** Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document), limited to domains the operator trusts. */
export function createClientDocuments(rules: ClientDocumentRules): ClientDocuments {
  return {
    enabled: rules.enabled,
    ack: 'draft-02',
    cacheDuration: { min: CLIENT_DOCUMENT_SECONDS_MIN, max: CLIENT_DOCUMENT_SECONDS_MAX },
    allowFetch: (_ctx, clientId) => mayPublishClients(rules, clientId),
    // Asked again for documents in the cache; the page needs a name to show.
    allowClient: (_ctx, client) =>
      mayPublishClients(rules, client.clientId) &&
      typeof client.clientName === 'string' &&
      KEYLESS_OR_ASYMMETRIC.has(client.tokenEndpointAuthMethod ?? ''),
  };
}

export function mayPublishClients(rules: ClientDocumentRules, clientId: string): boolean {
  const url = URL.parse(clientId);
  if (url === null) return false;
  if (rules.allowedHosts.includes(`${url.hostname}:${url.port || '443'}`)) return true;
  if (rules.allowedDomains.length === 0) return true;
  return rules.allowedDomains.some((domain) => url.hostname === domain || url.hostname.endsWith(`.${domain}`));
}

/** The engine's fetch, for client documents and keys: through the client that does not reach private addresses. */
export function createEngineFetch(safeFetch: SafeFetch, log: Logger): NonNullable<Configuration['fetch']> {
  return async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (init?.method !== undefined && init.method !== 'GET')
      throw new Error('The engine fetches documents by GET only.');
    try {
      const answer = await safeFetch(url, {
        headers: Object.fromEntries(new Headers(init?.headers)),
        ...(init?.signal ? { signal: init.signal } : {}),
      });
      const hasBody = answer.body.byteLength > 0;
      return new Response(hasBody ? new Uint8Array(answer.body) : null, {
        status: answer.status,
        headers: boundedFreshness(answer.headers),
      });
    } catch (error) {
      log.warn({ err: error, url }, 'a document named by a client could not be fetched');
      throw error;
    }
  };
}

/** The engine keeps a client's keys for as long as their publisher says: a revoked one would live for a year. */
function boundedFreshness(headers: Readonly<Record<string, string>>): Record<string, string> {
  const { expires: _, 'cache-control': said, ...rest } = headers;
  if (said === undefined) return rest;
  const bounded = said.replace(
    /(max-age\s*=\s*)(\d+)/gi,
    (_match, name: string, seconds: string) => `${name}${Math.min(Number(seconds), CLIENT_DOCUMENT_SECONDS_MAX)}`,
  );
  return { ...rest, 'cache-control': bounded };
}
