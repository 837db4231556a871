import type { EventEmitter } from 'node:events';
import type { Middleware } from 'koa';
import { type ClientMetadata, type Configuration, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import type { PolicyBook } from '../agents/policy_book.ts';
import { logFailedResponse } from '../kernel/failed_response.ts';
import type { SafeFetch } from '../kernel/safe_fetch.ts';
import type { RemoteKeySets } from '../keys/remote_key_sets.ts';
import type { Federation } from '../model/federation.ts';
import type { Store } from '../store/store.ts';
import { createAccessTokenReader } from './access_token.ts';
import { createFindAccount } from './accounts.ts';
import { type Artifacts, createAdapterFactory } from './adapter.ts';
import { normalizeAuthorizationRequest } from './authorization_request.ts';
import { limitAuthorizations } from './authorize_limit.ts';
import { type ClientDocumentRules, createClientDocuments, createEngineFetch } from './cimd.ts';
import { createClientKeys } from './client_keys.ts';
import { CLIENT_DEFAULTS, clientAuthMethods, extraClientMetadata } from './client_metadata.ts';
import { createClientSource } from './clients.ts';
import { completeDiscovery, enginePath, ROUTES } from './discovery.ts';
import { dpopFeature } from './dpop_nonces.ts';
import { createErrorRenderer, type ErrorPages } from './errors.ts';
import { endRevokedFamilies, watchRevokedGrants } from './family.ts';
import { knownClientAddress } from './forwarded.ts';
import { createAuthorizationDetails } from './grants/authorization_details.ts';
import { acceptIdentityAssertions } from './grants/jwt_bearer.ts';
import { redeemOnce } from './grants/redeem_once.ts';
import { registerTokenExchange } from './grants/token_exchange.ts';
import { createInteractionPolicy } from './interactions/policy.ts';
import { createIntrospection, introspectAccessTokens } from './introspection.ts';
import { recordIssuedTokens } from './issued_tokens.ts';
import { assertIssuer, issuerPath } from './issuer.ts';
import { type ProviderKeys, publishKeys } from './keys.ts';
import { answerLargeBody } from './large_body.ts';
import { lifetimes } from './lifetimes.ts';
import { answerFailedSteps, answerOutage } from './outage.ts';
import { createAssertionCheck, detectReplays, refuseForgottenProofs } from './replay.ts';
import { requestFacts } from './request_facts.ts';
import { createResourceIndicators } from './resources.ts';
import { revocation, revokeAccessTokens } from './revocation.ts';
import { echoStepUpScope } from './scope_echo.ts';
import { createTokenThrottle } from './throttle.ts';
import { customizeAccessToken, extraTokenClaims } from './token_claims.ts';
import { withTokenStatus } from './token_status.ts';
import { authenticateWorkloads } from './workload.ts';

export interface ProviderOptions extends ProviderKeys {
  readonly store: Store;
  readonly artifacts: Artifacts;
  readonly config: {
    readonly issuer: string;
    /** Published in discovery beside what the engine adds itself. */
    readonly scopesSupported: readonly string[];
    readonly cimd: ClientDocumentRules;
    readonly dynamicRegistration: boolean;
    /** Kinds of work that an administrator defined; none if left out. */
    readonly purposeCodes?: readonly string[];
    /** Clients registered in the configuration. */
    readonly clients: readonly ClientMetadata[];
    readonly federation: Federation;
  };
  /** The published keys of agents, platforms and identity providers. */
  readonly keySets: RemoteKeySets;
  /** Who may hand work to whom. */
  readonly book: PolicyBook;
  readonly safeFetch: SafeFetch;
  /** For errors that must not be sent to a client. */
  readonly pages: ErrorPages;
}

export interface OAuthProvider {
  readonly provider: Provider;
  /** Answers the paths of the OAuth engine and hands on all others. */
  readonly middleware: Middleware;
}

/** Builds the OAuth engine. Throws when the issuer or a configured client cannot be used. */
export function createOAuthProvider(options: ProviderOptions): OAuthProvider {
  const { store, artifacts, config, keySets } = options;
  const { workloadIssuers: platforms, assertionIssuers: issuers } = config.federation;
  assertIssuer(config.issuer);
  const throttle = createTokenThrottle(store);
  const provider = new Provider(config.issuer, configuration(options, throttle.beforeClient));
  const readAccessToken = createAccessTokenReader(config.issuer, options.findTokenKey);

  detectReplays(provider, store.ephemeral);
  redeemOnce(provider, store, artifacts);
  registerTokenExchange(provider, { store, book: options.book, readAccessToken });
  acceptIdentityAssertions(provider, { store, issuers, keySets });
  watchRevokedGrants(provider);
  provider.on('introspection.error', rememberError);
  provider.on('revocation.error', rememberError);
  provider.on('server_error', (ctx, error) => {
    store.log.error({ err: error, path: ctx.path }, 'the OAuth engine failed');
    answerOutage(ctx, error);
  });

  // Without a listener the engine's Koa writes stack traces past the log, for every client that goes away.
  (provider as EventEmitter).on('error', (error: Error) => logFailedResponse(store.log, error));

  // In order; what happens after `next()` runs from the last to the first.
  const steps: readonly Middleware[] = [
    answerFailedSteps(store.log),
    standAtIssuer(config.issuer),
    answerLargeBody,
    limitAuthorizations(store.ephemeral),
    endRevokedFamilies(store),
    throttle.countFailures,
    authenticateWorkloads({ store, platforms, keySets }),
    refuseForgottenProofs(store.ephemeral),
    normalizeAuthorizationRequest,
    recordIssuedTokens(store),
    echoStepUpScope(store),
    introspectAccessTokens(store, readAccessToken),
    revokeAccessTokens(store, readAccessToken),
    completeDiscovery(config.scopesSupported, config.federation),
    publishKeys(options.published),
  ];
  for (const step of steps) provider.use(step as Parameters<Provider['use']>[0]);
  return { provider, middleware: mount(provider, issuerPath(config.issuer)) };
}

function rememberError(ctx: KoaContextWithOIDC, error: Error): void {
  requestFacts(ctx).error = error;
}

function clientSource({ store, config, keySets }: ProviderOptions, beforeFind: (clientId: string) => Promise<void>) {
  const { clients, federation } = config;
  const hasAssertions = federation.assertionIssuers.length > 0;
  return createClientSource({ store, clients, beforeFind, clientKeys: createClientKeys(keySets), hasAssertions });
}

function configuration(options: ProviderOptions, beforeFind: (clientId: string) => Promise<void>): Configuration {
  const { store, artifacts, tokenKeys, cookieKeys, config, safeFetch } = options;
  const path = issuerPath(config.issuer);
  const cookie = config.issuer.startsWith('https:') ? '__Secure-countersign' : 'countersign';
  return {
    adapter: createAdapterFactory(artifacts, clientSource(options, beforeFind)),
    jwks: { keys: [...tokenKeys.keys] } as NonNullable<Configuration['jwks']>,
    cookies: {
      keys: [...cookieKeys],
      names: { session: `${cookie}-oauth`, interaction: `${cookie}-interaction`, resume: `${cookie}-resume` },
      long: { httpOnly: true, sameSite: 'lax', signed: true },
      short: { httpOnly: true, sameSite: 'lax', signed: true },
    },
    routes: ROUTES,
    scopes: ['openid', 'offline_access'],
    responseTypes: ['code'],
    clientAuthMethods: clientAuthMethods(config.clients),
    enabledJWA: {
      clientAuthSigningAlgValues: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'],
      dPoPSigningAlgValues: ['ES256', 'EdDSA', 'Ed25519'],
    },
    clientDefaults: CLIENT_DEFAULTS,
    extraClientMetadata: extraClientMetadata(config.clients),
    clockTolerance: 0,
    pkce: { required: () => true },
    allowOmittingSingleRegisteredRedirectUri: false,
    findAccount: createFindAccount(store),
    interactions: {
      policy: createInteractionPolicy(store),
      url: (_ctx, interaction) => `${path}/interaction/${interaction.uid}`,
    },
    // One-shot: a Grant counts only on the trip whose consent made or found it.
    loadExistingGrant: async (ctx) => {
      const grantId = ctx.oidc.result?.consent?.grantId;
      return grantId === undefined ? undefined : ctx.oidc.provider.Grant.find(grantId);
    },
    // Browsers may read token answers only on pages of the public client itself.
    clientBasedCORS: (_ctx, origin, client) =>
      client.tokenEndpointAuthMethod === 'none' &&
      (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin && origin !== 'null'),
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    expiresWithSession: () => false,
    assertJwtClientAuthClaimsAndHeader: createAssertionCheck(config.issuer),
    extraTokenClaims: withTokenStatus(store, extraTokenClaims),
    formats: { customizers: { jwt: customizeAccessToken } },
    ttl: lifetimes,
    renderError: createErrorRenderer(options.pages),
    fetch: createEngineFetch(safeFetch, store.log),
    features: features(options),
  };
}

function features({ store, tokenKeys, config }: ProviderOptions): NonNullable<Configuration['features']> {
  return {
    devInteractions: { enabled: false },
    userinfo: { enabled: false },
    rpInitiatedLogout: { enabled: false },
    pushedAuthorizationRequests: { enabled: true },
    clientCredentials: { enabled: true },
    dPoP: dpopFeature(store),
    resourceIndicators: createResourceIndicators({
      store,
      purposeCodes: config.purposeCodes ?? [],
      signingKeyId: tokenKeys.keys[0]?.kid ?? '',
    }),
    richAuthorizationRequests: createAuthorizationDetails(store),
    introspection: createIntrospection(store),
    revocation,
    registration: { enabled: config.dynamicRegistration, issueRegistrationAccessToken: false },
    clientIdMetadataDocument: createClientDocuments(config.cimd),
  } as NonNullable<Configuration['features']>;
}

/**
 * The engine builds addresses from the request. Behind a proxy that ends TLS the request is plain http, so scheme and
 * path are taken from the issuer; the host was pinned and the client's address found before (`pinHost`).
 */
function standAtIssuer(issuer: string): Middleware {
  const protocol = new URL(issuer).protocol.slice(0, -1);
  const path = issuerPath(issuer);
  return async (ctx, next) => {
    Object.defineProperty(ctx.request, 'protocol', { value: protocol });
    ctx.request.ip = knownClientAddress(ctx.req);
    ctx.mountPath = path;
    await next();
  };
}

/** The engine is a Koa application of its own, with its own cookie keys and error answers. */
function mount(provider: Provider, prefix: string): Middleware {
  const handle = provider.callback();
  return async (ctx, next) => {
    const path = enginePath(ctx.path, prefix);
    if (path === undefined) return next();
    const { url } = ctx.req;
    ctx.req.url = `${path}${ctx.search}`;
    ctx.respond = false;
    try {
      await handle(ctx.req, ctx.res);
    } finally {
      ctx.req.url = url ?? '';
    }
  };
}
