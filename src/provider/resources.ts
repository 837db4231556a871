import { type Client, type Configuration, errors, type KoaContextWithOIDC, type ResourceServer } from 'oidc-provider';
import { canonicalResource } from '../agents/tool_servers.ts';
import type { Store } from '../store/store.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { machineResource } from './grants/client_credentials.ts';
import { requestFacts } from './request_facts.ts';
import { accessTokenSeconds, activeToolServer } from './tool_server_target.ts';

type ResourceIndicators = NonNullable<NonNullable<Configuration['features']>['resourceIndicators']>;

export interface ResourceOptions {
  readonly store: Store;
  /** Kinds of work that an administrator defined. */
  readonly purposeCodes: readonly string[];
  /** The key that signs access tokens. */
  readonly signingKeyId: string;
}

/** RFC 8707 as we keep it: every token is for exactly one resource, named by the client, in one spelling. */
export function createResourceIndicators(options: ResourceOptions): ResourceIndicators {
  return {
    enabled: true,
    defaultResource() {
      throw new errors.InvalidTarget('name exactly one resource: the address of the tool server the token is for');
    },
    useGrantedResource: () => true,
    getResourceServerInfo: (ctx, indicator, client) => resourceServerInfo(options, ctx, indicator, client),
  };
}

async function resourceServerInfo(
  { store, signingKeyId, purposeCodes }: ResourceOptions,
  ctx: KoaContextWithOIDC,
  indicator: string,
  client: Client,
): Promise<ResourceServer> {
  const asked = ctx.oidc.params?.resource;
  if (Array.isArray(asked) && asked.length > 1) throw new errors.InvalidTarget('a token is for one resource only');
  const resource = canonicalResource(indicator);
  if (resource === undefined) throw new errors.InvalidTarget('the resource must be an http(s) URL without a fragment');
  const isForMachine = ctx.oidc.route === 'token' && ctx.oidc.params?.grant_type === 'client_credentials';
  const { scope, seconds } = isForMachine
    ? await machineResource(store, ctx, { resource, client, purposeCodes })
    : await interactiveResource(store, ctx, resource);
  return {
    scope,
    audience: resource,
    accessTokenFormat: 'jwt',
    accessTokenTTL: seconds,
    jwt: { sign: { alg: 'ES256', kid: signingKeyId } },
  };
}

/** A person's client may have tokens for tool servers only. `step_up:` scopes are never among what a grant can hold. */
async function interactiveResource(store: Store, ctx: KoaContextWithOIDC, resource: string) {
  await activeToolServer(store, ctx, resource);
  if (ctx.oidc.route === 'pushed_authorization_request') normalizePushedRequest(ctx, resource);
  return { scope: BASE_SCOPE, seconds: accessTokenSeconds(store, requestFacts(ctx).task?.secondsLeft) };
}

/** RFC 9126: what is pushed is brought into the form that a request by the browser gets (`normalizeAuthorizationRequest`). */
function normalizePushedRequest(ctx: KoaContextWithOIDC, resource: string): void {
  const asked = String(ctx.oidc.params?.scope ?? '').split(' ');
  const scope = asked.includes(BASE_SCOPE) ? asked : [BASE_SCOPE, ...asked];
  Object.assign(ctx.oidc.params ?? {}, { resource, scope: scope.filter((value) => value !== '').join(' ') });
}
