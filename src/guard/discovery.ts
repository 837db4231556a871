import { request } from 'undici';
import {
  type AuthorizationServer,
  authorizationServerMetadataUrl,
  readAuthorizationServer,
} from '../wire/authorization_server_rfc8414.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { ISSUER_TIMEOUT_MS } from './limits.ts';

/** Reads the issuer's metadata once; a failure is not remembered. Throws IssuerOutage. */
export function discovery(issuer: string): () => Promise<AuthorizationServer> {
  let known: Promise<AuthorizationServer> | undefined;
  return () => {
    known ??= read(issuer).catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return known;
  };
}

async function read(issuer: string): Promise<AuthorizationServer> {
  const url = authorizationServerMetadataUrl(issuer);
  try {
    const response = await request(url, { headersTimeout: ISSUER_TIMEOUT_MS, bodyTimeout: ISSUER_TIMEOUT_MS });
    const body: unknown = await response.body.json();
    if (response.statusCode !== 200) throw new TypeError(`it answered ${response.statusCode}`);
    return readAuthorizationServer(issuer, body);
  } catch (error) {
    throw new IssuerOutage(`${url} cannot be used: ${error instanceof Error ? error.message : 'it failed'}.`, error);
  }
}
