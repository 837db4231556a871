import { decodeProtectedHeader, type JWK } from 'jose';
import { Provider } from 'oidc-provider';
import type { JsonObject } from '../kernel/json.ts';
import type { RemoteKeySets } from '../keys/remote_key_sets.ts';
import { requestFacts } from './request_facts.ts';

/** The metadata of a registered client with the keys that it proves itself with in the request under way. */
export type ClientKeys = (clientId: string, metadata: JsonObject) => Promise<JsonObject>;

/**
 * Where the metadata name a `jwks_uri`, puts the keys in its place: the engine would fetch it by itself, keep it as long as its
 * publisher likes, and take an outage for a wrong client. Rejects with `KeysUnreachable`.
 */
export function createClientKeys(keySets: RemoteKeySets): ClientKeys {
  return async (clientId, { jwks_uri: address, ...metadata }) => {
    const ctx = Provider.ctx;
    const workload = ctx === undefined ? undefined : requestFacts(ctx).workload;
    if (workload?.clientId === clientId) {
      return { ...metadata, jwks: { keys: [workload.publicJwk] } as unknown as JsonObject };
    }
    if (typeof address !== 'string') return metadata;
    const location = { issuer: clientId, jwksUri: address, format: 'jwks' } as const;
    const keys = await keySets.keys(location, keyIdOf(ctx?.oidc.params?.client_assertion));
    return { ...metadata, jwks: { keys: es256Keys(keys) } as unknown as JsonObject };
  };
}

/** Agents sign with ES256, whatever else is published at the same address. */
function es256Keys(keys: readonly JWK[]): JWK[] {
  return keys
    .filter(({ kty, crv, alg }) => kty === 'EC' && crv === 'P-256' && (alg === undefined || alg === 'ES256'))
    .map((key) => ({ ...key, alg: 'ES256', use: 'sig' }));
}

function keyIdOf(assertion: unknown): string | undefined {
  if (typeof assertion !== 'string') return undefined;
  try {
    const { kid } = decodeProtectedHeader(assertion);
    return typeof kid === 'string' ? kid : undefined;
  } catch {
    return undefined;
  }
}
