import {
  type AuthorizationDetail,
  type Client,
  type Configuration,
  errors,
  type KoaContextWithOIDC,
} from 'oidc-provider';
import { canonicalResource } from '../../agents/tool_servers.ts';
import type { Store } from '../../store/store.ts';
import { JWT_BEARER_GRANT } from '../../wire/identity_assertion_id_jag_04.ts';
import { findLiveTaskById } from '../live_task.ts';
import { type RequestFacts, requestFacts } from '../request_facts.ts';
import { accessTokenSeconds } from '../tool_server_target.ts';
import type { AskedTask } from './asked_task.ts';
import { rememberNarrowing } from './delegation_detail.ts';
import { readTaskDetail, suggestion } from './task_detail.ts';

type RichAuthorizationRequests = NonNullable<NonNullable<Configuration['features']>['richAuthorizationRequests']>;

/**
 * RFC 9396: a service agent names its task in the token request, or starts one with it; an interactive client suggests one,
 * and a person decides at consent. Nobody may send another type.
 */
export function createAuthorizationDetails(store: Store): RichAuthorizationRequests {
  return {
    enabled: true,
    types: {
      mcp_task: { validate: (ctx, detail, client) => rememberTask(store, ctx, detail, client) },
      mcp_delegation: { validate: rememberNarrowing },
    },
    // So that the answer to the code names the task, whatever was asked for it (RFC 9396 §7).
    authorizationDetailsForGrantSource: () => [{ type: 'mcp_task' }],
    async authorizationDetailsForAccessToken(ctx, token) {
      const facts = requestFacts(ctx);
      if (facts.askedTask !== undefined) await startAsked(store, facts, facts.askedTask, token);
      const { task } = facts;
      return task === undefined ? undefined : [taskDetail(task.id)];
    },
    authorizationDetailsForIntrospection: () => undefined,
  };
}

export function taskDetail(taskId: string): { type: 'mcp_task'; task_id: string } {
  return { type: 'mcp_task', task_id: taskId };
}

/** Last, when nothing else can refuse the request: a task that nobody gets a token for would be left behind. */
async function startAsked(
  store: Store,
  facts: RequestFacts,
  { start }: AskedTask,
  token: { resourceServer?: { accessTokenTTL?: number | undefined } | undefined },
): Promise<void> {
  const task = await start();
  if (!task.ok) throw new errors.InvalidAuthorizationDetails(task.refusal.message);
  facts.task = task.value;
  if (token.resourceServer !== undefined) {
    token.resourceServer.accessTokenTTL = accessTokenSeconds(store, task.value.secondsLeft);
  }
}

async function rememberTask(
  store: Store,
  ctx: KoaContextWithOIDC,
  detail: AuthorizationDetail,
  client: Client,
): Promise<void> {
  const facts = requestFacts(ctx);
  if (facts.task !== undefined || facts.taskStart !== undefined) {
    throw new errors.InvalidAuthorizationDetails('a token is for one task only');
  }
  const read = readTaskDetail(ctx, detail);
  const { route, params } = ctx.oidc;
  if (route === 'authorization' || route === 'pushed_authorization_request') {
    // For a second one to be noticed; what it says is read again when the page is shown.
    facts.taskStart = suggestion(read);
    return;
  }
  if (route === 'token' && params?.grant_type === JWT_BEARER_GRANT && read.kind === 'new') {
    facts.taskStart = read.start;
    return;
  }
  if (route !== 'token' || params?.grant_type !== 'client_credentials') {
    throw new errors.InvalidAuthorizationDetails('a task is chosen at consent: leave authorization_details out');
  }
  if (read.kind === 'new') {
    facts.taskStart = read.start;
    return;
  }
  const asked = typeof params.resource === 'string' ? canonicalResource(params.resource) : undefined;
  const task = await findLiveTaskById(store, read.taskId, asked);
  // One answer for a task that is unknown and one of somebody else: ids of others are not confirmed.
  if (!task.ok && task.refusal.code !== 'task_invalid') {
    throw new errors.InvalidAuthorizationDetails(task.refusal.message);
  }
  if (!task.ok || task.value.clientId !== client.clientId) {
    throw new errors.InvalidAuthorizationDetails('this agent has no such task');
  }
  facts.task = task.value;
}
