import { type ClientMetadata, type Configuration, errors } from 'oidc-provider';
import { isLoopbackHost } from './issuer.ts';

/** Native, so that a loopback redirect may use any port (RFC 8252 §7.3). Shared secrets do not exist here. */
export const CLIENT_DEFAULTS: Configuration['clientDefaults'] = {
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  id_token_signed_response_alg: 'ES256',
};

// Called for every client, because one property of ours is always looked at.
const ASKED_SCOPE = 'asked_scope';

export const EXTRA_CLIENT_METADATA: Configuration['extraClientMetadata'] = {
  properties: [ASKED_SCOPE],
  validator(_ctx, _key, _value, metadata) {
    setScopeAside(metadata);
    dropSecret(metadata);
    for (const uri of metadata.redirect_uris ?? []) assertRedirectUri(uri);
  },
};

/**
 * The MCP SDK registers with the scopes of the resource, which the engine would refuse as unknown; and what a client may
 * have is decided per resource and task, never by its metadata.
 */
function setScopeAside(metadata: ClientMetadata): void {
  if (metadata.scope === undefined) return;
  metadata[ASKED_SCOPE] = metadata.scope;
  delete metadata.scope;
}

/** The engine makes a secret for whoever names no method before it applies our defaults; nothing here accepts one. */
function dropSecret(metadata: ClientMetadata): void {
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
