import { parseArgs } from 'node:util';
import { exportJWK, generateKeyPair } from 'jose';
import { type Configuration, Provider } from 'oidc-provider';
import { devConfig } from '../../src/cli/dev.ts';
import { loadConfig } from '../../src/cli/load_config.ts';
import { createLogger } from '../../src/kernel/log.ts';
import { createAdapterFactory } from '../../src/provider/adapter.ts';
import { createClientSource } from '../../src/provider/clients.ts';
import { openFoundation } from '../../src/server/open_foundation.ts';
import { serve } from './serve.ts';

export interface BareProviderReady {
  readonly issuer: string;
  readonly pid: number;
}

/**
 * The baseline: oidc-provider over our own stores and adapter, with none of our hooks, rules or records. On the embedded
 * stores, or with `--config` on those that the configuration names.
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '' },
    'data-dir': { type: 'string', default: '' },
    config: { type: 'string' },
    'client-id': { type: 'string', default: '' },
    jwk: { type: 'string', default: '' },
  },
});
const port = Number(values.port);
const issuer = `http://localhost:${port}`;
const log = createLogger({ level: 'error', name: 'bare-provider' });
const config =
  values.config === undefined
    ? await devConfig({ port, dataDir: values['data-dir'] })
    : loadConfig({ file: values.config, overrides: {} });
const foundation = await openFoundation(config, { log, onLost: () => process.exit(1) });
const { store, artifacts } = foundation;

await store.db
  .insertInto('oauth_clients')
  .values({
    client_id: values['client-id'],
    source: 'registered',
    metadata: JSON.stringify({
      client_id: values['client-id'],
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [JSON.parse(values.jwk)] },
    }),
  })
  .execute();

const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const signingKey = { ...(await exportJWK(privateKey)), kid: 'bench', alg: 'ES256', use: 'sig' };
const clients = createClientSource({
  store,
  clients: [],
  beforeFind: async () => {},
  clientKeys: async (_clientId, metadata) => metadata,
  hasAssertions: false,
});

const provider = new Provider(issuer, {
  adapter: createAdapterFactory(artifacts, clients),
  jwks: { keys: [signingKey] } as NonNullable<Configuration['jwks']>,
  clientAuthMethods: ['private_key_jwt'],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: async (_ctx, resource) => ({
        scope: 'mcp:tools',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256', kid: 'bench' } },
      }),
    },
  },
});

await serve(port, provider.callback(), {
  ready: async (): Promise<BareProviderReady> => ({ issuer, pid: process.pid }),
  close: () => foundation.stop(),
});
