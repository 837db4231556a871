import { type Client, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { findServiceAgentByClient } from '../../agents/registry.ts';
import { canonicalResource, findToolServerByClient } from '../../agents/tool_servers.ts';
import type { Store } from '../../store/store.ts';
import { GUARD_API_PATH, GUARD_API_SCOPE } from '../../wire/guard_api.ts';
import { BASE_SCOPE } from '../../wire/scopes.ts';
import { assertBoundToken, unbound } from '../dpop_required.ts';
import { CLIENT_TOKEN_SECONDS_MAX } from '../limits.ts';
import { findLiveTaskById, type KnownToolServer, type LiveTask } from '../live_task.ts';
import { requestFacts } from '../request_facts.ts';
import { accessTokenSeconds, activeToolServer } from '../tool_server_target.ts';
import { prepareAskedTask } from './asked_task.ts';
import { defaultTask } from './default_task.ts';

/** Where service agents start tasks, and the scope of their tokens there. */
const AGENT_API_PATH = '/api/v1';
const AGENT_API_SCOPE = 'tasks';

interface MachineResource {
  readonly scope: string;
  readonly seconds: number;
}

interface AskedResource {
  readonly resource: string;
  readonly client: Client;
  /** Kinds of work that an administrator defined. */
  readonly purposeCodes: readonly string[];
}

/**
 * What a machine may ask for in its own name: a guard the guard API and nothing else, a service agent the API of the
 * issuer, and a tool server only for a task of its own, named or begun by `authorization_details`.
 */
export async function machineResource(
  store: Store,
  ctx: KoaContextWithOIDC,
  { resource, client, purposeCodes }: AskedResource,
): Promise<MachineResource> {
  if (resource === canonicalResource(`${store.issuer}${GUARD_API_PATH}`)) return guardResource(store, ctx, client);
  if (resource === canonicalResource(`${store.issuer}${AGENT_API_PATH}`)) return agentResource(store, ctx, client);
  return taskResource(store, ctx, { resource, client, purposeCodes });
}

async function guardResource(store: Store, ctx: KoaContextWithOIDC, client: Client): Promise<MachineResource> {
  const toolServer = await findToolServerByClient(store, client.clientId);
  // A pending one may already report its tools; what it may ask for beyond that is the API's business.
  if (toolServer === undefined || (toolServer.state !== 'active' && toolServer.state !== 'pending')) {
    throw new errors.InvalidTarget('the guard API is for guards of registered tool servers');
  }
  refuseTask(ctx);
  requestFacts(ctx).subject = toolServer.id;
  return { scope: defaultScope(ctx, GUARD_API_SCOPE), seconds: clientTokenSeconds(store) };
}

async function agentResource(store: Store, ctx: KoaContextWithOIDC, client: Client): Promise<MachineResource> {
  const agent = await findServiceAgentByClient(store, client.clientId);
  if (agent === undefined) throw new errors.InvalidTarget('the API of the issuer is for service agents');
  if (agent.state !== 'active') throw new errors.UnauthorizedClient('the agent is not active: ask its owner');
  if (agent.dpop_required && ctx.get('DPoP') === '') throw unbound('this agent has tokens bound to a key only');
  refuseTask(ctx);
  requestFacts(ctx).subject = agent.id;
  return { scope: defaultScope(ctx, AGENT_API_SCOPE), seconds: clientTokenSeconds(store) };
}

async function taskResource(
  store: Store,
  ctx: KoaContextWithOIDC,
  { resource, client, purposeCodes }: AskedResource,
): Promise<MachineResource> {
  const toolServer = await activeToolServer(store, ctx, resource);
  const facts = requestFacts(ctx);
  if (facts.taskStart !== undefined) {
    const scope = defaultScope(ctx, BASE_SCOPE);
    facts.askedTask = await prepareAskedTask(store, ctx, { client, toolServer, asked: facts.taskStart, purposeCodes });
    return { scope, seconds: accessTokenSeconds(store, facts.askedTask.seconds) };
  }
  if (facts.task === undefined && facts.workload?.isGrant) facts.task = await workloadTask(store, client, toolServer);
  const { task } = facts;
  if (task === undefined) {
    throw new errors.InvalidAuthorizationDetails(
      'name the task this token is for: authorization_details=[{"type":"mcp_task","task_id":"tsk_..."}]',
    );
  }
  if (!Object.hasOwn(task.tools, toolServer.id)) {
    throw new errors.InvalidAuthorizationDetails('the task does not include this tool server');
  }
  await assertBoundToken(store, ctx, task, toolServer);
  return { scope: defaultScope(ctx, BASE_SCOPE), seconds: accessTokenSeconds(store, task.secondsLeft) };
}

/** MCP SEP-1933 knows nothing of tasks: a workload that brings its token as the grant gets one for its agent's owner. */
async function workloadTask(store: Store, client: Client, toolServer: KnownToolServer): Promise<LiveTask> {
  const agent = await findServiceAgentByClient(store, client.clientId);
  if (agent === undefined) throw new errors.UnauthorizedClient('this client is no service agent');
  const { id: agentId, owner_id: requesterId, purpose } = agent;
  const { clientId } = client;
  const task = await defaultTask(store, { agentId, clientId, requesterId, toolServer, origin: 'api', purpose });
  const live = task.ok ? await findLiveTaskById(store, task.value, toolServer.resource) : task;
  if (live.ok) return live.value;
  throw Object.assign(new errors.InvalidGrant(live.refusal.code), { error_description: live.refusal.message });
}

function refuseTask(ctx: KoaContextWithOIDC): void {
  const { task, taskStart } = requestFacts(ctx);
  if (task !== undefined || taskStart !== undefined) {
    throw new errors.InvalidAuthorizationDetails('a task is named in tokens for tool servers only');
  }
}

/** RFC 6749 §3.3: the scope of a request that names none; the engine would answer it with an empty token. */
function defaultScope(ctx: KoaContextWithOIDC, scope: string): string {
  const { params } = ctx.oidc;
  if (params?.scope === undefined) Object.assign(params ?? {}, { scope });
  else if (!ctx.oidc.requestParamScopes.has(scope)) {
    throw new errors.InvalidScope(`the scope of this resource is ${scope}`, String(params.scope));
  }
  return scope;
}

function clientTokenSeconds(store: Store): number {
  return Math.min(CLIENT_TOKEN_SECONDS_MAX, store.rules.accessTokenSeconds);
}
