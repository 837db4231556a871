import Router from '@koa/router';
import { createLocalJWKSet, type JWK } from 'jose';
import Koa from 'koa';
import type { PolicyBook } from '../agents/policy_book.ts';
import { TokenVerifier } from '../api/bearer.ts';
import { addGuardRoutes } from '../api/guard_routes.ts';
import { addHealthRoutes } from '../api/health_routes.ts';
import { answerRefusal } from '../api/http.ts';
import { addRegistrationRoutes } from '../api/registration_routes.ts';
import { addTaskRoutes } from '../api/task_routes.ts';
import type { Config } from '../config.ts';
import { createConsole } from '../console/console.ts';
import { createPages } from '../console/pages.ts';
import { newId } from '../kernel/ids.ts';
import type { SafeFetch } from '../kernel/safe_fetch.ts';
import { createOAuthProvider } from '../provider/create_provider.ts';
import { createInteractionRoutes } from '../provider/interactions/routes.ts';
import type { ProviderKeys } from '../provider/keys.ts';
import { pinHost } from '../provider/pin_host.ts';
import { isDatabaseOutage } from '../store/postgres/outage.ts';
import { isUnstorableText } from '../store/postgres/unstorable_text.ts';
import type { Store } from '../store/store.ts';
import { refusal } from '../wire/refusals.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import type { Foundation } from './foundation.ts';

export interface HttpParts {
  readonly config: Config;
  readonly store: Store;
  readonly artifacts: Foundation['artifacts'];
  readonly book: PolicyBook;
  readonly keys: ProviderKeys;
  readonly fetch: SafeFetch;
  readonly isDraining: () => boolean;
}

/** Everything the issuer answers, in order: host, failures, health, guards and agents, interactions, OAuth, pages. */
export function createHttpApp(parts: HttpParts): Koa {
  const { config, store, book, keys } = parts;
  const app = new Koa();
  app.on('error', (error: Error) => store.log.error({ err: error }, 'a response failed'));
  const pages = createPages(store);
  const oauth = createOAuthProvider({
    store,
    artifacts: parts.artifacts,
    ...keys,
    config: {
      issuer: config.issuer,
      scopesSupported: [BASE_SCOPE],
      cimd: {
        enabled: config.client_id_metadata_documents.enabled,
        allowedDomains: config.client_id_metadata_documents.allowed_domains,
        allowedHosts: config.fetch_allowed_hosts,
      },
      dynamicRegistration: config.dynamic_registration,
      clients: config.clients.map((client) => ({ ...client, redirect_uris: [...client.redirect_uris] })),
    },
    safeFetch: parts.fetch,
    pages,
  });
  app.use(answerFailures(store));
  app.use(refuseZeroBytes);
  app.use(addHealth(parts).routes());
  app.use(pinHost(config.issuer, config.trusted_proxies));
  app.use(addApi(parts, book, keys).routes());
  app.use(
    createInteractionRoutes({ provider: oauth.provider, store, pages, purposeCodes: config.purpose_codes }).routes(),
  );
  app.use(oauth.middleware);
  const issuer = new URL(config.issuer);
  const rp = { id: issuer.hostname, origin: issuer.origin, name: 'Countersign' };
  app.use(createConsole({ store, rp, fetch: parts.fetch }).routes());
  app.use(answerUnknown);
  return app;
}

/** Probes come by address, not by the issuer's name, so they stand before the host is pinned. */
function addHealth({ store, isDraining }: HttpParts): Router {
  const router = new Router();
  addHealthRoutes(router, store, isDraining);
  return router;
}

function addApi({ store, config }: HttpParts, book: PolicyBook, keys: ProviderKeys): Router {
  const router = new Router({ prefix: new URL(config.issuer).pathname.replace(/\/$/, '') });
  const jwks = createLocalJWKSet({ keys: keys.tokenKeys.keys.map(publicPart) });
  const tokens = new TokenVerifier(store, jwks);
  addGuardRoutes(router, { store, book, tokens });
  addRegistrationRoutes(router, store);
  addTaskRoutes(router, { store, tokens, purposeCodes: config.purpose_codes.map((purpose) => purpose.code) });
  return router;
}

function publicPart({ kty, crv, x, y, kid }: JWK): JWK {
  return { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' } as JWK;
}

/** What nobody above answered, as the methods that a path does not have. */
const answerUnknown: Koa.Middleware = (ctx) => {
  answerRefusal(ctx, refusal('not_found', 'This address leads nowhere, or not with this method.'));
};

/** No id and no address of ours holds U+0000, and PostgreSQL compares no text that does. */
const refuseZeroBytes: Koa.Middleware = async (ctx, next) => {
  if (!/%00/.test(ctx.url)) return next();
  answerRefusal(ctx, refusal('request_invalid', 'The address holds the character U+0000.'));
};

/** A bug is answered 500 with a reference that is in the log; an outage 503, so that callers try again. */
function answerFailures(store: Store): Koa.Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      if (isUnstorableText(error)) {
        answerRefusal(ctx, refusal('request_invalid', 'A text holds the character U+0000. Nothing was changed.'));
        return;
      }
      const reference = newId('att');
      // The token of a one-time link is part of its path and must not reach the log (invariant 10).
      const path = ctx.path.replace(/(\/link\/).+$/, '$1…');
      store.log.error({ err: error, reference, method: ctx.method, path }, 'a request failed');
      if (isDatabaseOutage(error)) {
        answerRefusal(ctx, refusal('unavailable', 'The database does not answer.'));
        return;
      }
      ctx.status = 500;
      ctx.body = { error: 'server_error', error_description: `Something failed here. Reference: ${reference}` };
    }
  };
}
