import { type ClientMetadata, type Configuration, errors } from 'oidc-provider';
import { isLoopbackHost } from './issuer.ts';

/** Native, so that a loopback redirect may use any port (RFC 8252 §7.3). Nobody has a shared secret by default. */
export const CLIENT_DEFAULTS: Configuration['clientDefaults'] = {
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  id_token_signed_response_alg: 'ES256',
  // Any client may say what it wants to be allowed to do; a person decides (RFC 9396 §10).
  authorization_details_types: ['mcp_task'],
};

// Called for every client, because one property of ours is always looked at.
const ASKED_SCOPE = 'asked_scope';

/** The rules of ours for every client; `configured` are those of the configuration, which alone may have a secret. */
export function extraClientMetadata(configured: readonly ClientMetadata[]): Configuration['extraClientMetadata'] {
  const withSecret = new Set(secretClients(configured).map((client) => client.client_id));
  return {
    properties: [ASKED_SCOPE],
    validator(_ctx, _key, _value, metadata) {
      setScopeAside(metadata);
      if (!withSecret.has(metadata.client_id)) refuseSecret(metadata);
      for (const uri of metadata.redirect_uris ?? []) assertRedirectUri(uri);
    },
  };
}

/** How clients may prove who they are: with a shared secret only if one was configured. */
export function clientAuthMethods(
  configured: readonly ClientMetadata[],
): NonNullable<Configuration['clientAuthMethods']> {
  const bySecret =
    secretClients(configured).length === 0 ? [] : (['client_secret_basic', 'client_secret_post'] as const);
  return ['none', 'private_key_jwt', ...bySecret];
}

function secretClients(configured: readonly ClientMetadata[]): readonly ClientMetadata[] {
  return configured.filter((client) => client.client_secret !== undefined);
}

/**
 * The MCP SDK registers with the scopes of the resource, which the engine would refuse as unknown; and what a client may
 * have is decided per resource and task, never by its metadata.
 */
function setScopeAside(metadata: ClientMetadata): void {
  if (metadata.scope === undefined) return;
  metadata[ASKED_SCOPE] = metadata.scope;
  delete metadata.scope;
}

/**
 * A secret that is shared ends up in files, logs and mails of both sides. The engine makes one for whoever names no method,
 * before it applies our defaults: that one is dropped.
 */
function refuseSecret(metadata: ClientMetadata): void {
  if (metadata.token_endpoint_auth_method?.startsWith('client_secret')) {
    throw new errors.InvalidClientMetadata(
      'shared secrets are not accepted here: use private_key_jwt with a key of your own, or none',
    );
  }
  delete metadata.client_secret;
  delete metadata.client_secret_expires_at;
}

/** https, http on loopback, or a scheme of an app (RFC 8252 §7); the engine refuses `javascript:`, `data:` and the like. */
function assertRedirectUri(uri: unknown): void {
  const url = typeof uri === 'string' ? URL.parse(uri) : null;
  const isRefused =
    url === null ||
    url.username !== '' ||
    url.password !== '' ||
    (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) ||
    SCRIPT_SCHEMES.has(url.protocol);
  if (isRefused) {
    throw new errors.InvalidClientMetadata('redirect_uris must use https, http on loopback, or the scheme of an app');
  }
}

const SCRIPT_SCHEMES = new Set(['javascript:', 'vbscript:', 'data:', 'blob:', 'file:', 'about:', 'view-source:']);
