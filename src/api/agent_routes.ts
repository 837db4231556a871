import type Router from '@koa/router';
import type { JWK } from 'jose';
import type { Context } from 'koa';
import { z } from 'zod';
import { refuseAgent } from '../agents/approve.ts';
import { changeAgent, refuseChange } from '../agents/change.ts';
import { areKeysOverdue } from '../agents/deadlines.ts';
import { findAgentKeys, findAgents } from '../agents/find_agents.ts';
import { KEYS_PER_AGENT_MAX } from '../agents/limits.ts';
import { listPeers, PEER_DIRECTIONS } from '../agents/peers.ts';
import { type AgentCredentials, proposeAgent } from '../agents/propose.ts';
import { type Agent, findAgent } from '../agents/registry.ts';
import { replaceAgentKeys } from '../agents/replace_keys.ts';
import { loadReview } from '../agents/review.ts';
import { someTermsSchema } from '../agents/terms.ts';
import { transferAgent } from '../agents/transfer.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Acting } from '../model/acting.ts';
import type { ApiTokenScope } from '../model/api_token.ts';
import type { Store } from '../store/store.ts';
import { offboardAgent } from '../tasks/revoke/offboard_agent.ts';
import { removePeer } from '../tasks/revoke/remove_peer.ts';
import { resumeAgent } from '../tasks/revoke/resume_agent.ts';
import { suspendAgent } from '../tasks/revoke/suspend_agent.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { agentJson, agentPageUrl, keysJson, peerJson, reviewJson } from './agent_json.ts';
import { authenticateApiToken } from './api_token_auth.ts';
import { answer, answerRefusal, readJson } from './http.ts';
import { AGENTS_PER_PAGE, AGENTS_PER_PAGE_MAX } from './limits.ts';

const AGENT_API_PATH = '/api/v1/agents';

const id = z.string().max(64);
const jwk = z.record(z.string(), z.unknown());
const keysSchema = z.array(jwk).max(KEYS_PER_AGENT_MAX);
const proposeSchema = z.strictObject({
  name: z.string(),
  purpose: z.string(),
  owner: id,
  deputy: id.nullable().default(null),
  keys: keysSchema.optional(),
  jwks_uri: z.string().max(2048).optional(),
  workload_only: z.literal(true).optional(),
  terms: someTermsSchema.default({}),
});
const changeSchema = z.strictObject({ terms: someTermsSchema });
const reasonSchema = z.strictObject({ reason: z.string().default('') });
const transferSchema = z.strictObject({ owner: id.optional(), deputy: id.optional() });
const replaceKeysSchema = z.strictObject({ keys: keysSchema });
const direction = z.enum(PEER_DIRECTIONS);
const stateSchema = z.enum(['pending', 'active', 'suspended', 'offboarded']);

/** One request of a machine that administers, authenticated. */
interface Asked {
  readonly ctx: Context;
  readonly store: Store;
  readonly by: Acting;
  readonly agentId: string;
}

type Handle = (asked: Asked) => Promise<Result<JsonObject, Refusal>>;

/**
 * The agent registry for machines: they read, propose, take away, suspend and offboard. What gives an agent more is asked for
 * here and approved by a person on the agent's page.
 */
export function addAgentRoutes(router: Router, store: Store): void {
  const serve =
    (scope: ApiTokenScope, handle: Handle, status = 200) =>
    async (ctx: Context) => {
      const token = await authenticateApiToken(ctx, store, scope);
      if (!token.ok) return answerRefusal(ctx, token.refusal);
      const by = { kind: 'api_token', id: token.value.id } as const;
      const done = await handle({ ctx, store, by, agentId: ctx.params.id ?? '' });
      if (done.ok) answer(ctx, done.value, status);
      else answerRefusal(ctx, done.refusal);
    };
  const read = (handle: Handle) => serve('agents:read', handle);
  const write = (handle: Handle, status?: number) => serve('agents:write', handle, status);
  const one = `${AGENT_API_PATH}/:id`;
  router.get(AGENT_API_PATH, read(list));
  router.post(AGENT_API_PATH, write(propose, 201));
  router.get(one, read(show));
  router.patch(one, write(change));
  router.delete(`${one}/pending-change`, write(takeBackChange));
  router.post(`${one}/pending-change/approve`, write(approvedByPeople));
  router.post(`${one}/approve`, write(approvedByPeople));
  router.post(`${one}/withdraw`, write(withdraw));
  router.post(`${one}/suspend`, write(suspend));
  router.post(`${one}/resume`, write(resume));
  router.post(`${one}/offboard`, write(offboard));
  router.post(`${one}/transfer`, write(transfer));
  router.put(`${one}/keys`, write(replaceKeys));
  router.get(`${one}/review`, read(review));
  router.post(`${one}/review`, write(approvedByPeople));
  router.get(`${one}/peers`, read(peers));
  router.put(`${one}/peers/:direction/:peer`, write(approvedByPeople));
  router.delete(`${one}/peers/:direction/:peer`, write(dropPeer));
}

async function list({ ctx, store }: Asked): Promise<Result<JsonObject, Refusal>> {
  const { state, owner, after, limit } = ctx.query;
  const count = limit === undefined ? AGENTS_PER_PAGE : Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > AGENTS_PER_PAGE_MAX) {
    return refused(refusal('request_invalid', `"limit" is a number from 1 to ${AGENTS_PER_PAGE_MAX}.`));
  }
  const wanted = state === undefined ? undefined : stateSchema.safeParse(state);
  if (wanted?.success === false) {
    return refused(refusal('request_invalid', `"state" is one of ${stateSchema.options.join(', ')}.`));
  }
  const agents = await findAgents(store, {
    limit: count,
    ...(wanted === undefined ? {} : { state: wanted.data }),
    ...(typeof owner === 'string' ? { owner } : {}),
    ...(typeof after === 'string' ? { after } : {}),
  });
  const next = agents.length === count ? agents.at(-1)!.id : null;
  return accepted({ agents: agents.map((agent) => agentJson(agent, store.issuer)), next });
}

async function propose({ ctx, store, by }: Asked): Promise<Result<JsonObject, Refusal>> {
  const request = await readJson(ctx, proposeSchema);
  if (!request.ok) return request;
  const { name, purpose, owner, deputy, terms } = request.value;
  const credentials = readCredentials(request.value);
  if (!credentials.ok) return credentials;
  const input = { name, purpose, ownerId: owner, deputyId: deputy, credentials: credentials.value, terms };
  const proposed = await proposeAgent(store, input, by);
  return proposed.ok ? accepted(agentJson(proposed.value, store.issuer)) : proposed;
}

function readCredentials(request: z.infer<typeof proposeSchema>): Result<AgentCredentials, Refusal> {
  const { keys, jwks_uri: jwksUri, workload_only: isWorkloadOnly } = request;
  const given = [keys, jwksUri, isWorkloadOnly].filter((one) => one !== undefined);
  if (given.length !== 1) {
    return refused(
      refusal(
        'request_invalid',
        'Say how the agent proves who it is: either "keys", "jwks_uri" or "workload_only": true.',
      ),
    );
  }
  if (keys !== undefined) return accepted({ keys: keys as JWK[] });
  return accepted(jwksUri === undefined ? { isWorkloadOnly: true } : { jwksUri });
}

async function found({ store, agentId }: Asked): Promise<Result<Agent, Refusal>> {
  const agent = await findAgent(store, agentId);
  return agent === undefined ? refused(refusal('not_found', 'There is no such agent.')) : accepted(agent);
}

async function show(asked: Asked): Promise<Result<JsonObject, Refusal>> {
  const agent = await found(asked);
  if (!agent.ok) return agent;
  const { store } = asked;
  const keys = keysJson(await findAgentKeys(store, agent.value));
  const known = (await listPeers(store, asked.agentId)).map(peerJson);
  return accepted({ ...agentJson(agent.value, store.issuer), keys, peers: known });
}

async function change({ ctx, store, by, agentId }: Asked): Promise<Result<JsonObject, Refusal>> {
  const request = await readJson(ctx, changeSchema);
  if (!request.ok) return request;
  const done = await changeAgent(store, { agentId, by, terms: request.value.terms });
  if (!done.ok) return done;
  const { agent, changed, waiting } = done.value;
  return accepted({ ...agentJson(agent, store.issuer), changed: [...changed], waiting: [...waiting] });
}

async function takeBackChange({ ctx, store, by, agentId }: Asked): Promise<Result<JsonObject, Refusal>> {
  const changeId = typeof ctx.query.change === 'string' ? ctx.query.change : '';
  const done = await refuseChange(store, { agentId, changeId, by });
  return done.ok ? accepted(agentJson(done.value, store.issuer)) : done;
}

/** No stored credential of a machine gives an agent anything (design §3). */
async function approvedByPeople(asked: Asked): Promise<Result<JsonObject, Refusal>> {
  const agent = await found(asked);
  if (!agent.ok) return agent;
  const url = agentPageUrl(asked.store.issuer, agent.value.id);
  const words = `Only a person does this, on the agent's page: ${url} Nothing was changed.`;
  return refused(refusal('not_allowed', words, { console_url: url }));
}

async function withReason(
  asked: Asked,
  work: (reason: string) => Promise<Result<unknown, Refusal>>,
): Promise<Result<JsonObject, Refusal>> {
  const { ctx } = asked;
  // Who has no reason to give may leave the body out.
  const hasBody = ctx.req.headers['content-length'] !== '0' && ctx.req.headers['content-type'] !== undefined;
  const request = hasBody ? await readJson(ctx, reasonSchema) : accepted({ reason: '' });
  if (!request.ok) return request;
  const done = await work(request.value.reason);
  if (!done.ok) return done;
  const agent = await found(asked);
  if (!agent.ok) return agent;
  const ended = (done.value ?? null) as JsonObject | null;
  const isCount = ended !== null && 'tasks' in ended;
  return accepted({ ...agentJson(agent.value, asked.store.issuer), ...(isCount ? { ended: { ...ended } } : {}) });
}

async function withdraw(asked: Asked): Promise<Result<JsonObject, Refusal>> {
  const { store, by, agentId } = asked;
  return withReason(asked, (reason) => refuseAgent(store, { agentId, by, reason }));
}

async function suspend(asked: Asked): Promise<Result<JsonObject, Refusal>> {
  const { store, by, agentId } = asked;
  return withReason(asked, (reason) => suspendAgent(store, { agentId, by, reason }));
}

async function resume(asked: Asked): Promise<Result<JsonObject, Refusal>> {
  const { store, by, agentId } = asked;
  const agent = await found(asked);
  if (!agent.ok) return agent;
  if (areKeysOverdue(agent.value, new Date())) {
    return refused(refusal('conflict', 'The time for changing its keys is over. Replace its keys first.'));
  }
  return withReason(asked, (reason) => resumeAgent(store, { agentId, by, reason }));
}

async function offboard(asked: Asked): Promise<Result<JsonObject, Refusal>> {
  const { store, by, agentId } = asked;
  return withReason(asked, (reason) => offboardAgent(store, { agentId, by, reason }));
}

async function transfer({ ctx, store, by, agentId }: Asked): Promise<Result<JsonObject, Refusal>> {
  const request = await readJson(ctx, transferSchema);
  if (!request.ok) return request;
  const { owner, deputy } = request.value;
  if (owner === undefined && deputy === undefined) {
    return refused(refusal('request_invalid', 'Name the new "owner", the new "deputy", or both.'));
  }
  const to = {
    ...(owner === undefined ? {} : { ownerId: owner }),
    ...(deputy === undefined ? {} : { deputyId: deputy }),
  };
  const done = await transferAgent(store, { agentId, by, ...to });
  return done.ok ? accepted(agentJson(done.value, store.issuer)) : done;
}

async function replaceKeys({ ctx, store, by, agentId }: Asked): Promise<Result<JsonObject, Refusal>> {
  const request = await readJson(ctx, replaceKeysSchema);
  if (!request.ok) return request;
  const done = await replaceAgentKeys(store, { agentId, by, keys: request.value.keys as JWK[] });
  if (!done.ok) return done;
  return accepted({ ...agentJson(done.value, store.issuer), keys: keysJson(await findAgentKeys(store, done.value)) });
}

async function review(asked: Asked): Promise<Result<JsonObject, Refusal>> {
  const agent = await found(asked);
  if (!agent.ok) return agent;
  const { store } = asked;
  return accepted(reviewJson(agent.value, await loadReview(store, agent.value), store.issuer));
}

async function peers(asked: Asked): Promise<Result<JsonObject, Refusal>> {
  const agent = await found(asked);
  if (!agent.ok) return agent;
  return accepted({ agent: asked.agentId, peers: (await listPeers(asked.store, asked.agentId)).map(peerJson) });
}

async function dropPeer({ ctx, store, by, agentId }: Asked): Promise<Result<JsonObject, Refusal>> {
  const named = direction.safeParse(ctx.params.direction);
  if (!named.success) return refused(refusal('request_invalid', 'The direction is "to" or "from".'));
  const removed = await removePeer(store, { agentId, direction: named.data, peerId: ctx.params.peer ?? '', by });
  if (!removed.ok) return removed;
  const peers = (await listPeers(store, agentId)).map(peerJson);
  return accepted({ agent: agentId, peers, ended: { ...removed.value } });
}
