import {
  type AuthorizationDetail,
  type Client,
  type Configuration,
  errors,
  type KoaContextWithOIDC,
} from 'oidc-provider';
import { canonicalResource } from '../../agents/tool_servers.ts';
import type { Store } from '../../store/store.ts';
import { mcpTaskDetail } from '../../wire/authorization_details.ts';
import { findLiveTaskById } from '../live_task.ts';
import { requestFacts } from '../request_facts.ts';
import { rememberNarrowing } from './delegation_detail.ts';

type RichAuthorizationRequests = NonNullable<NonNullable<Configuration['features']>['richAuthorizationRequests']>;

/** RFC 9396: a service agent names its task in the token request. Nobody else may send details, and nobody another type. */
export function createAuthorizationDetails(store: Store): RichAuthorizationRequests {
  return {
    enabled: true,
    types: {
      mcp_task: { validate: (ctx, detail, client) => rememberTask(store, ctx, detail, client) },
      mcp_delegation: { validate: rememberNarrowing },
    },
    authorizationDetailsForGrantSource: () => undefined,
    authorizationDetailsForAccessToken(ctx) {
      const { task } = requestFacts(ctx);
      return task === undefined ? undefined : [taskDetail(task.id)];
    },
    authorizationDetailsForIntrospection: () => undefined,
  };
}

export function taskDetail(taskId: string): { type: 'mcp_task'; task_id: string } {
  return { type: 'mcp_task', task_id: taskId };
}

async function rememberTask(
  store: Store,
  ctx: KoaContextWithOIDC,
  detail: AuthorizationDetail,
  client: Client,
): Promise<void> {
  if (ctx.oidc.route !== 'token' || ctx.oidc.params?.grant_type !== 'client_credentials') {
    throw new errors.InvalidAuthorizationDetails('a task is chosen at consent: leave authorization_details out');
  }
  const facts = requestFacts(ctx);
  if (facts.task !== undefined) throw new errors.InvalidAuthorizationDetails('a token is for one task only');
  const parsed = mcpTaskDetail.safeParse(detail);
  if (!parsed.success) {
    throw new errors.InvalidAuthorizationDetails('mcp_task has exactly one member beside its type: task_id');
  }
  const { resource } = ctx.oidc.params ?? {};
  const asked = typeof resource === 'string' ? canonicalResource(resource) : undefined;
  const task = await findLiveTaskById(store, parsed.data.task_id, asked);
  // One answer for a task that is unknown and one of somebody else: ids of others are not confirmed.
  if (!task.ok && task.refusal.code !== 'task_invalid') {
    throw new errors.InvalidAuthorizationDetails(task.refusal.message);
  }
  if (!task.ok || task.value.clientId !== client.clientId) {
    throw new errors.InvalidAuthorizationDetails('this agent has no such task');
  }
  facts.task = task.value;
}
