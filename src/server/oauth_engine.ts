import type { Middleware } from 'koa';
import type { ClientMetadata } from 'oidc-provider';
import type { PolicyBook } from '../agents/policy_book.ts';
import type { Config } from '../config.ts';
import type { createPages } from '../console/pages.ts';
import type { SafeFetch } from '../kernel/safe_fetch.ts';
import { type Keyring, KeysOutdated } from '../keys/keyring.ts';
import type { RemoteKeySets } from '../keys/remote_key_sets.ts';
import type { VerificationKeys } from '../keys/verification_keys.ts';
import { createOAuthProvider } from '../provider/create_provider.ts';
import { createInteractionRoutes } from '../provider/interactions/routes.ts';
import { providerKeys } from '../provider/keys.ts';
import type { Store } from '../store/store.ts';
import { JWT_BEARER_GRANT } from '../wire/identity_assertion_id_jag_04.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { federationOf } from './federation.ts';
import type { Foundation } from './foundation.ts';

export interface OAuthEngineParts {
  readonly config: Config;
  readonly store: Store;
  readonly artifacts: Foundation['artifacts'];
  readonly book: PolicyBook;
  readonly keyring: Keyring;
  readonly verification: VerificationKeys;
  readonly fetch: SafeFetch;
  readonly keySets: RemoteKeySets;
  /** Of clients of the configuration, by client id. */
  readonly clientSecrets: ReadonlyMap<string, string>;
  readonly pages: ReturnType<typeof createPages>;
}

interface Engine {
  readonly interactions: Middleware;
  readonly oauth: Middleware;
}

/**
 * The OAuth engine and the pages of its trips. Its keys are fixed when it is built, so a change of the keys builds the
 * next one; a request goes on with the engine it came to. Answers nothing while it is not known which keys are in force.
 */
export function createOAuthEngine(parts: OAuthEngineParts): Engine {
  const { keyring, store } = parts;
  let current: Engine | undefined = build(parts);
  keyring.onChange(() => {
    try {
      current = build(parts);
    } catch (error) {
      current = undefined;
      store.log.error({ err: error }, 'the OAuth engine could not be built with the keys in force; it answers nothing');
    }
  });
  const engine = (): Engine => {
    if (!keyring.isCurrent()) throw new KeysOutdated('Which keys may sign is not known.');
    current ??= build(parts);
    return current;
  };
  return {
    interactions: (ctx, next) => engine().interactions(ctx, next),
    oauth: (ctx, next) => engine().oauth(ctx, next),
  };
}

function build(parts: OAuthEngineParts): Engine {
  const { config, store, artifacts, book, keyring, verification, fetch, keySets, clientSecrets, pages } = parts;
  const oauth = createOAuthProvider({
    store,
    artifacts,
    book,
    ...providerKeys(keyring, verification),
    config: {
      issuer: config.issuer,
      scopesSupported: [BASE_SCOPE],
      purposeCodes: config.purpose_codes.map((purpose) => purpose.code),
      cimd: {
        enabled: config.client_id_metadata_documents.enabled,
        allowedDomains: config.client_id_metadata_documents.allowed_domains,
        allowedHosts: config.fetch_allowed_hosts,
      },
      dynamicRegistration: config.dynamic_registration,
      clients: configuredClients(config, clientSecrets),
      federation: federationOf(config),
    },
    keySets,
    safeFetch: fetch,
    pages,
  });
  const trips = createInteractionRoutes({ provider: oauth.provider, store, pages, purposeCodes: config.purpose_codes });
  return { interactions: trips.routes() as Middleware, oauth: oauth.middleware };
}

function configuredClients({ clients, federation }: Config, secrets: ReadonlyMap<string, string>): ClientMetadata[] {
  const hasAssertions = federation.identity_assertion_issuers.length > 0;
  return clients.map(({ client_secret_file: _, ...client }) => {
    const secret = secrets.get(client.client_id);
    const metadata = { ...client, redirect_uris: [...client.redirect_uris] };
    if (secret === undefined) return metadata;
    // An identity assertion needs a client that proves who it is.
    const grants = ['authorization_code', 'refresh_token', ...(hasAssertions ? [JWT_BEARER_GRANT] : [])];
    const method = 'client_secret_basic';
    return { ...metadata, client_secret: secret, token_endpoint_auth_method: method, grant_types: grants };
  });
}
