import { type Client, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { findServiceAgentByClient } from '../../agents/registry.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { ToolSelection } from '../../store/postgres/tables.ts';
import type { Store } from '../../store/store.ts';
import { resolveAsked } from '../../tasks/asked.ts';
import type { StartedTask } from '../../tasks/insert_task.ts';
import { recordRefusedTask } from '../../tasks/record_refused.ts';
import { startTask } from '../../tasks/start.ts';
import { startFromTemplate } from '../../tasks/templates/start.ts';
import { findTemplateOf } from '../../tasks/templates/template.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { type Repeat, readRepeat } from '../../wire/repeated_request.ts';
import type { McpTaskStart } from '../../wire/task_request.ts';
import { assertBoundToken } from '../dpop_required.ts';
import { findLiveTaskById, type KnownToolServer, type LiveTask } from '../live_task.ts';

/** A task that starts with the token request, once everything else about the request was found good. */
export interface AskedTask {
  readonly seconds: number;
  readonly start: () => Promise<Result<LiveTask, Refusal>>;
}

interface AskedOf {
  readonly client: Client;
  readonly toolServer: KnownToolServer;
  readonly asked: McpTaskStart;
  readonly purposeCodes: readonly string[];
}

/** What a service agent asks for in its token request, looked at as far as that can be done without starting it. */
export async function prepareAskedTask(store: Store, ctx: KoaContextWithOIDC, of: AskedOf): Promise<AskedTask> {
  const { client, toolServer } = of;
  const agent = await findServiceAgentByClient(store, client.clientId);
  if (agent === undefined) throw new errors.UnauthorizedClient('tasks are started by registered service agents');
  if (agent.state !== 'active') throw new errors.UnauthorizedClient('the agent is not active: ask its owner');
  const repeat = readRepeat(ctx.req.headers);
  if (!repeat.ok) return refuse(store, agent.id, repeat.refusal);
  const request = await resolve(store, { ...of, agentId: agent.id, ownerId: agent.owner_id, repeat: repeat.value });
  if (!request.ok) return refuse(store, agent.id, request.refusal);
  const { tools, seconds, begin } = request.value;
  if (!Object.hasOwn(tools, toolServer.id)) {
    const beside = refusal('request_invalid', 'The task would not include the tool server that the token is for.');
    return refuse(store, agent.id, beside);
  }
  await assertBoundToken(store, ctx, { isDpopRequired: agent.dpop_required, tools }, toolServer);
  const start = async () => {
    const started = await begin();
    if (!started.ok) return refuse(store, agent.id, started.refusal);
    return findLiveTaskById(store, started.value.taskId, toolServer.resource);
  };
  return { seconds, start };
}

async function refuse(store: Store, agentId: string, found: Refusal): Promise<never> {
  await recordRefusedTask(store, { agentId }, found);
  throw new errors.InvalidAuthorizationDetails(found.message);
}

interface Resolved {
  readonly tools: ToolSelection;
  readonly seconds: number;
  readonly begin: () => Promise<Result<StartedTask, Refusal>>;
}

async function resolve(
  store: Store,
  of: AskedOf & { readonly agentId: string; readonly ownerId: string; readonly repeat: Repeat },
): Promise<Result<Resolved, Refusal>> {
  const { type: _, template: name, ...asked } = of.asked;
  const { agentId, ownerId, purposeCodes, repeat } = of;
  const { clientId } = of.client;
  if (name !== undefined) {
    if (Object.keys(asked).some((member) => member !== 'seconds')) {
      return refused(refusal('request_invalid', 'A template says everything but "seconds", which may be shorter.'));
    }
    const template = await findTemplateOf(store, agentId, name);
    const seconds = asked.seconds ?? template?.seconds ?? store.rules.taskSecondsDefault;
    const begin = () =>
      startFromTemplate(store, { ...repeat, agentId, clientId, template: name, seconds: asked.seconds });
    // One that is unknown or not in force is refused by starting it, in the words for that.
    const tools = template?.tools ?? { [of.toolServer.id]: [] };
    return accepted({ tools, seconds, begin });
  }
  const { purpose, purpose_code: purposeCode = '', tools, seconds = store.rules.taskSecondsDefault } = asked;
  if (tools === undefined || purpose === undefined) {
    return refused(
      refusal('request_invalid', 'Name a task by "task_id", or say its "tools" and "purpose", or a "template".'),
    );
  }
  if (purposeCode !== '' && !purposeCodes.includes(purposeCode)) {
    return refused(refusal('request_invalid', `There is no purpose code "${purposeCode}".`));
  }
  const resolved = await resolveAsked(store, { tools, budget: asked.budget, resource: of.toolServer.resource });
  if (!resolved.ok) return resolved;
  const task = { requesterId: ownerId, agentId, clientId, purpose, purposeCode, ...resolved.value, seconds };
  const begin = () => startTask(store, { ...task, ...repeat, oauthGrantId: null });
  return accepted({ tools: resolved.value.tools, seconds, begin });
}
