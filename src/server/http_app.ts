import Router from '@koa/router';
import Koa from 'koa';
import type { PolicyBook } from '../agents/policy_book.ts';
import { addAgentRoutes } from '../api/agent_routes.ts';
import { TokenVerifier } from '../api/bearer.ts';
import { addGuardRoutes } from '../api/guard_routes.ts';
import { answerRefusal } from '../api/http.ts';
import { addLeaseRoutes } from '../api/lease_routes.ts';
import type { Leases } from '../api/leases.ts';
import { addMessageRoutes } from '../api/message_routes.ts';
import { addPeopleRoutes } from '../api/people_routes.ts';
import { addRegistrationRoutes } from '../api/registration_routes.ts';
import { addRevocationRoutes } from '../api/revocation_routes.ts';
import { addScimRoutes } from '../api/scim/scim_routes.ts';
import { addSignalRoutes, transmitterMetadataRouter } from '../api/signals/signal_routes.ts';
import { addStatusListRoutes } from '../api/status_list_routes.ts';
import { addTaskRoutes } from '../api/task_routes.ts';
import { addTemplateRoutes } from '../api/template_routes.ts';
import { addTraceRoutes } from '../api/trace_routes.ts';
import { addWorkloadRoutes } from '../api/workload_routes.ts';
import type { Config } from '../config.ts';
import { createConsole } from '../console/console.ts';
import { createPages } from '../console/pages.ts';
import { logFailedResponse } from '../kernel/failed_response.ts';
import { newId } from '../kernel/ids.ts';
import type { SafeFetch } from '../kernel/safe_fetch.ts';
import { type Keyring, KeysOutdated } from '../keys/keyring.ts';
import type { RemoteKeySets } from '../keys/remote_key_sets.ts';
import { tokenVerificationKeys, type VerificationKeys } from '../keys/verification_keys.ts';
import type { UpstreamProviders } from '../people/upstream/providers.ts';
import { pinHost } from '../provider/pin_host.ts';
import { isOutage } from '../store/outage.ts';
import { isUnstorableText } from '../store/postgres/unstorable_text.ts';
import type { Store } from '../store/store.ts';
import { refusal } from '../wire/refusals.ts';
import { federationOf } from './federation.ts';
import type { Foundation } from './foundation.ts';
import { createOAuthEngine } from './oauth_engine.ts';

export interface HttpParts {
  readonly config: Config;
  readonly store: Store;
  readonly artifacts: Foundation['artifacts'];
  readonly book: PolicyBook;
  readonly keyring: Keyring;
  readonly leases: Leases;
  readonly fetch: SafeFetch;
  readonly keySets: RemoteKeySets;
  readonly clientSecrets: ReadonlyMap<string, string>;
  readonly upstream: UpstreamProviders;
  /** Aborts when this process is about to end: who waits is answered with the state as it is. */
  readonly draining: AbortSignal;
}

/** Everything the issuer answers, in order: host, failures, guards and agents, interactions, OAuth, pages. */
export function createHttpApp(parts: HttpParts): Koa {
  const { config, store, book, keyring } = parts;
  const app = new Koa();
  app.on('error', (error: Error) => logFailedResponse(store.log, error));
  const pages = createPages(store);
  const verification = tokenVerificationKeys(keyring);
  const engine = createOAuthEngine({ ...parts, verification, pages });
  app.use(answerFailures(store));
  app.use(refuseZeroBytes);
  app.use(pinHost(config.issuer, config.trusted_proxies));
  app.use(addApi(parts, book, verification).routes());
  app.use(transmitterMetadataRouter(config.issuer).routes());
  app.use(engine.interactions);
  app.use(engine.oauth);
  const issuer = new URL(config.issuer);
  const rp = { id: issuer.hostname, origin: issuer.origin, name: 'Countersign' };
  app.use(
    createConsole({
      store,
      rp,
      fetch: parts.fetch,
      upstream: parts.upstream,
      draining: parts.draining,
      transmitters: config.signals.transmitters.map(({ issuer }) => issuer),
      platforms: federationOf(config).workloadIssuers,
    }).routes(),
  );
  app.use(answerUnknown);
  return app;
}

function addApi(parts: HttpParts, book: PolicyBook, verification: VerificationKeys): Router {
  const { store, config, leases, draining } = parts;
  const router = new Router({ prefix: new URL(config.issuer).pathname.replace(/\/$/, '') });
  const tokens = new TokenVerifier(store, verification);
  addGuardRoutes(router, { store, book, tokens, draining });
  addLeaseRoutes(router, { store, tokens, leases, draining });
  addRegistrationRoutes(router, store);
  addAgentRoutes(router, store);
  addWorkloadRoutes(router, { store, platforms: federationOf(config).workloadIssuers });
  addScimRoutes(router, store);
  addPeopleRoutes(router, store);
  const purposeCodes = config.purpose_codes.map((purpose) => purpose.code);
  addTaskRoutes(router, { store, tokens, purposeCodes });
  addTemplateRoutes(router, { store, tokens, purposeCodes });
  addTraceRoutes(router, { store, tokens });
  addRevocationRoutes(router, { store, tokens });
  addSignalRoutes(router, {
    store,
    draining,
    keySets: parts.keySets,
    signer: () => parts.keyring.signer('token'),
    allowedHosts: config.fetch_allowed_hosts,
    transmitters: config.signals.transmitters,
  });
  addMessageRoutes(router, store);
  addStatusListRoutes(router, { store, signer: () => parts.keyring.signer('token') });
  return router;
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
      if (isOutage(error) || error instanceof KeysOutdated) {
        answerRefusal(ctx, refusal('unavailable', 'The database does not answer.'));
        return;
      }
      ctx.status = 500;
      ctx.body = { error: 'server_error', error_description: `Something failed here. Reference: ${reference}` };
    }
  };
}
