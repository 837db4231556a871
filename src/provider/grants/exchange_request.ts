import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import { findServiceAgentByClient } from '../../agents/registry.ts';
import { canonicalResource } from '../../agents/tool_servers.ts';
import { isId } from '../../kernel/ids.ts';
import { accepted, type Result } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import type { AskedResource } from '../../tasks/delegate.ts';
import { type DelegationRefusal, refuseDelegation } from '../../tasks/delegation_refusal.ts';
import { type AccessTokenClaims, parseAccessTokenClaims } from '../../wire/claims.ts';
import { BASE_SCOPE, stepUpIds } from '../../wire/scopes.ts';
import { type IssuedToken, isInForce, type ReadAccessToken } from '../access_token.ts';
import { requestFacts } from '../request_facts.ts';
import { askedResources } from './delegation_detail.ts';
import type { RefusedExchange } from './exchange_refusal.ts';

export const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';
/** Where agents have tokens in their own name; only such a token says who an actor is. */
const AGENT_API_PATH = '/api/v1';

/** RFC 8693 §2.1, as far as it is known here; whatever else a request carries is refused or dropped before. */
export const EXCHANGE_PARAMETERS = [
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
  'requested_token_type',
  'audience',
  'resource',
  'scope',
  'authorization_details',
] as const;
export type ExchangeParameters = Partial<Record<(typeof EXCHANGE_PARAMETERS)[number], unknown>>;

export interface ExchangeParts {
  readonly store: Store;
  readonly readAccessToken: ReadAccessToken;
}

export interface Exchange {
  readonly subject: AccessTokenClaims;
  /** The agent that takes the work, and the one that asks. */
  readonly takerId: string;
  readonly byAgentId: string;
  readonly resources: readonly AskedResource[];
  readonly scope: string;
  /** The key that the new token is bound to; undefined for a bearer token. */
  readonly thumbprint: string | undefined;
}

/**
 * Who asks for what, with the tokens verified. Two may ask: the client that the token was issued to, and the agent that acts at the
 * token's audience. What the records say of them is not looked at yet. Notes on the way what a refusal will be recorded with.
 */
export async function readExchange(
  parts: ExchangeParts,
  ctx: KoaContextWithOIDC,
  proven: string | undefined,
  known: RefusedExchange,
): Promise<Result<Exchange, DelegationRefusal>> {
  const params: ExchangeParameters = ctx.oidc.params ?? {};
  const formed = checkForm(params);
  if (!formed.ok) return formed;
  const subject = await readSubject(parts, params.subject_token, known);
  if (!subject.ok) return subject;
  const actor = await readActor(parts, params.actor_token);
  if (!actor.ok) return actor;
  const client = ctx.oidc.client as Client;
  const roles = await findRoles(parts.store, client, subject.value, actor.value);
  if (!roles.ok) return roles;
  known.agent = roles.value.byAgentId;
  const key = proveKeys(client, roles.value, { subject: subject.value, actor: actor.value, proven });
  if (!key.ok) return key;
  const resources = readResources(ctx, params.resource);
  if (!resources.ok) return resources;
  const scope = readScope(params.scope, subject.value);
  if (!scope.ok) return scope;
  return accepted({
    subject: subject.value,
    takerId: roles.value.takerId,
    byAgentId: roles.value.byAgentId,
    resources: resources.value,
    scope: scope.value,
    thumbprint: key.value,
  });
}

function checkForm(params: ExchangeParameters): Result<true, DelegationRefusal> {
  const malformed = (message: string) => refuseDelegation('request_malformed', message);
  if (typeof params.subject_token !== 'string') return malformed('subject_token is missing: the token to exchange');
  if (params.subject_token_type !== ACCESS_TOKEN_TYPE) {
    return malformed(`subject_token_type must be ${ACCESS_TOKEN_TYPE}`);
  }
  if (params.actor_token !== undefined && params.actor_token_type !== ACCESS_TOKEN_TYPE) {
    return malformed(`actor_token_type must be ${ACCESS_TOKEN_TYPE}`);
  }
  if (params.actor_token === undefined && params.actor_token_type !== undefined) {
    return malformed('actor_token_type comes with an actor_token only');
  }
  if (params.requested_token_type !== undefined && params.requested_token_type !== ACCESS_TOKEN_TYPE) {
    return malformed(`the only requested_token_type is ${ACCESS_TOKEN_TYPE}`);
  }
  return accepted(true);
}

async function readSubject(
  { readAccessToken }: ExchangeParts,
  token: unknown,
  known: RefusedExchange,
): Promise<Result<AccessTokenClaims, DelegationRefusal>> {
  const verified = await readAccessToken(String(token));
  const claims = verified === undefined ? undefined : parseAccessTokenClaims(verified);
  if (claims === undefined || !claims.ok || claims.value.act === undefined) {
    const message = 'the subject_token is no access token of a task here, or it has expired';
    return refuseDelegation('subject_invalid', message);
  }
  const { act, task, jti, txn, scope } = claims.value;
  known.fromAgent = act.sub;
  known.task = task.id;
  known.delegation = task.delegation ?? null;
  known.subjectToken = jti;
  // Design §3: what a person approved for one call is never handed on.
  if (txn !== undefined || stepUpIds(scope).length > 0) {
    return refuseDelegation('subject_elevated', 'an elevated token cannot be exchanged: use the token of the task');
  }
  return accepted(claims.value);
}

/** An agent in its own name. A token in which it acts for a person is none: it says who the person is (T30). */
async function readActor(
  { store, readAccessToken }: ExchangeParts,
  token: unknown,
): Promise<Result<IssuedToken | undefined, DelegationRefusal>> {
  if (token === undefined) return accepted(undefined);
  const claims = await readAccessToken(String(token));
  const isOfAgent =
    claims !== undefined &&
    claims.aud === canonicalResource(`${store.issuer}${AGENT_API_PATH}`) &&
    isId('agt', claims.sub ?? '');
  if (isOfAgent && (await isInForce(store, claims))) return accepted(claims);
  const message = `the actor_token must be the actor's own access token for ${store.issuer}${AGENT_API_PATH}`;
  return refuseDelegation('actor_invalid', message);
}

interface Roles {
  /** `taken` by the agent at the token's audience; else asked for by the token's own client. */
  readonly way: 'narrowed' | 'handed' | 'taken';
  readonly takerId: string;
  readonly byAgentId: string;
}

async function findRoles(
  store: Store,
  client: Client,
  subject: AccessTokenClaims,
  actor: IssuedToken | undefined,
): Promise<Result<Roles, DelegationRefusal>> {
  const ownId = subject.act!.sub;
  if (subject.client_id === client.clientId) {
    const takerId = actor?.sub ?? ownId;
    return accepted({ way: takerId === ownId ? 'narrowed' : 'handed', takerId, byAgentId: ownId });
  }
  const agent = await findServiceAgentByClient(store, client.clientId);
  if (agent === undefined || !(await isPaired(store, agent.id, subject.aud))) {
    const message = 'this client is neither the one the subject_token was issued to nor the agent at its audience';
    return refuseDelegation('not_paired', message);
  }
  if (actor !== undefined && (actor.sub !== agent.id || actor.client_id !== client.clientId)) {
    return refuseDelegation('actor_foreign', 'the actor_token is not one of the client that sends it');
  }
  return accepted({ way: 'taken', takerId: agent.id, byAgentId: agent.id });
}

/** An administrator said that this agent acts at this address. */
async function isPaired({ db }: Store, agentId: string, resource: string): Promise<boolean> {
  const row = await db
    .selectFrom('tool_servers')
    .select('id')
    .where('resource', '=', resource)
    .where('agent_id', '=', agentId)
    .where('state', '=', 'active')
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * RFC 9449 for both tokens, and the key of the new one. At the audience of a bound subject token its guard has seen the
 * proof; whoever acts there proves itself as a client. Work that is handed to another agent is bound to that agent's key,
 * so that whoever hands it on cannot use the token.
 */
function proveKeys(
  client: Client,
  { way }: Roles,
  keys: { subject: AccessTokenClaims; actor: IssuedToken | undefined; proven: string | undefined },
): Result<string | undefined, DelegationRefusal> {
  const { proven } = keys;
  const subjectKey = way === 'taken' ? undefined : keys.subject.cnf?.jkt;
  const actorKey = keys.actor?.cnf?.jkt;
  if (subjectKey !== undefined && subjectKey !== proven) {
    return refuseDelegation('key_not_proven', 'send a DPoP proof made with the key that the subject_token is bound to');
  }
  // Whoever holds the token of a public client is that client, unless the token is bound.
  if (way !== 'taken' && subjectKey === undefined && client.clientAuthMethod === 'none') {
    return refuseDelegation(
      'key_not_proven',
      'a client without credentials exchanges only tokens that are bound to a key',
    );
  }
  if (way === 'handed') {
    if (actorKey !== undefined) return accepted(actorKey);
    return refuseDelegation(
      'actor_not_bound',
      'the actor_token must be bound to a key of the agent that takes the work',
    );
  }
  if (actorKey !== undefined && actorKey !== proven) {
    return refuseDelegation('key_not_proven', 'send a DPoP proof made with the key that the actor_token is bound to');
  }
  return accepted(proven);
}

function readResources(ctx: KoaContextWithOIDC, asked: unknown): Result<readonly AskedResource[], DelegationRefusal> {
  const only = Array.isArray(asked) && asked.length === 1 ? asked[0] : asked;
  const resource = typeof only === 'string' ? canonicalResource(only) : undefined;
  const resources = resource === undefined ? undefined : askedResources(resource, requestFacts(ctx).narrowing);
  if (ctx.oidc.params?.audience !== undefined || resources === undefined) {
    const message = 'name exactly one resource, and no audience: the address of the tool server the token is for';
    return refuseDelegation('resource_unknown', message);
  }
  return accepted(resources);
}

/** RFC 8693 §2.1: the scope is a projection of the tools; it is never more than that of the subject token. */
function readScope(asked: unknown, subject: AccessTokenClaims): Result<string, DelegationRefusal> {
  const held = subject.scope.split(' ');
  const wanted = typeof asked === 'string' && asked !== '' ? asked.split(' ') : [BASE_SCOPE];
  const beyond = wanted.find((scope) => scope !== BASE_SCOPE || !held.includes(scope));
  return beyond === undefined
    ? accepted(BASE_SCOPE)
    : refuseDelegation('scope_outside', `the scope ${beyond} is not within that of the subject_token`);
}
