import * as oidc from 'openid-client';
import type { SafeFetch } from '../../kernel/safe_fetch.ts';
import { UPSTREAM_CLOCK_SKEW_SECONDS, UPSTREAM_DISCOVERY_MS } from '../limits.ts';
import type { UpstreamSettings } from './settings_schema.ts';

export interface UpstreamClient {
  readonly settings: UpstreamSettings;
  /** What the provider publishes of itself, at most an hour old. Rejects if it cannot be had. */
  configuration(): Promise<oidc.Configuration>;
}

/** The client of one provider. Everything it fetches, keys too, goes by `fetch`: https to public hosts, bounded. */
export function createUpstreamClient(
  settings: UpstreamSettings,
  authentication: oidc.ClientAuth,
  fetch: SafeFetch,
): UpstreamClient {
  let known: { readonly at: number; readonly configuration: Promise<oidc.Configuration> } | undefined;
  return {
    settings,
    configuration() {
      if (known !== undefined && Date.now() - known.at < UPSTREAM_DISCOVERY_MS) return known.configuration;
      const configuration = discover(settings, authentication, fetch);
      const entry = { at: Date.now(), configuration };
      known = entry;
      configuration.catch(() => {
        if (known === entry) known = undefined;
      });
      return configuration;
    },
  };
}

function discover(
  settings: UpstreamSettings,
  authentication: oidc.ClientAuth,
  fetch: SafeFetch,
): Promise<oidc.Configuration> {
  const issuer = new URL(settings.issuer);
  return oidc.discovery(
    issuer,
    settings.client_id,
    { [oidc.clockTolerance]: UPSTREAM_CLOCK_SKEW_SECONDS },
    authentication,
    {
      [oidc.customFetch]: byUrl(fetch),
      // Whether plain http may be fetched is for `fetch` to say; the signature is checked also where TLS would do.
      execute: [oidc.enableNonRepudiationChecks, ...(issuer.protocol === 'http:' ? [oidc.allowInsecureRequests] : [])],
    },
  );
}

function byUrl(fetch: SafeFetch): oidc.CustomFetch {
  return async (url, { method, headers, body, signal }) => {
    const {
      status,
      headers: answered,
      body: bytes,
    } = await fetch(url, {
      method: method === 'POST' ? 'POST' : 'GET',
      headers,
      ...(body === undefined || body === null ? {} : { body: String(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    return new Response(new Uint8Array(bytes), { status, headers: answered });
  };
}

/** As the provider says it takes a secret; in the header where it says nothing (OpenID Connect Core §9). */
export function bySecret(secret: string): oidc.ClientAuth {
  const [basic, post] = [oidc.ClientSecretBasic(secret), oidc.ClientSecretPost(secret)];
  return (server, ...rest) => {
    const takesBasic = server.token_endpoint_auth_methods_supported?.includes('client_secret_basic') ?? true;
    return takesBasic ? basic(server, ...rest) : post(server, ...rest);
  };
}
