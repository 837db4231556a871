import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import { type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { resolveAsked } from '../tasks/asked.ts';
import { describeTask } from '../tasks/describe.ts';
import { type EndedBy, endTask } from '../tasks/finish.ts';
import type { StartedTask } from '../tasks/insert_task.ts';
import { recordRefusedTask } from '../tasks/record_refused.ts';
import { startTask } from '../tasks/start.ts';
import { startSubTask } from '../tasks/sub_task.ts';
import { startFromTemplate } from '../tasks/templates/start.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { readRepeat } from '../wire/repeated_request.ts';
import { taskMembers } from '../wire/task_request.ts';
import type { TokenVerifier } from './bearer.ts';
import { answer, answerRefusal, readJson } from './http.ts';
import {
  authenticateAgent,
  authenticateCaller,
  type CallingAgent,
  TASK_API_PATH,
  type TaskCaller,
} from './task_caller.ts';
import { taskJson } from './task_json.ts';

export { TASK_API_PATH };

/** The tool server of tools that are plain names. */
const resource = z.string().max(2048).optional();
const startSchema = z.strictObject({ resource, ...taskMembers });
const { tools, purpose, seconds, budget } = taskMembers;
const subTaskSchema = z.strictObject({
  ...{ resource, tools: tools.unwrap(), purpose: purpose.unwrap(), seconds, budget },
  /** The hop that was handed to this agent; the one that begins the parent task if left out. */
  delegation_id: z.string().max(64).optional(),
});

interface TaskApi {
  readonly store: Store;
  readonly tokens: TokenVerifier;
  readonly purposeCodes: readonly string[];
}

/**
 * Service agents start, read and end their own tasks; the requester of such a task is the agent's accountable owner, and of a
 * sub-task that of its parent. Machines that administer (API tokens) read and end any.
 */
export function addTaskRoutes(router: Router, api: TaskApi): void {
  const tasks = `${TASK_API_PATH}/tasks`;
  router.post(tasks, (ctx) => onStart(ctx, api, start));
  router.post(`${tasks}/:id/sub-tasks`, (ctx) => onStart(ctx, api, startBelow));
  router.get(`${tasks}/:id`, (ctx) => read(ctx, api));
  router.delete(`${tasks}/:id`, (ctx) => end(ctx, api));
}

type Start = (ctx: RouteContext, agent: CallingAgent, api: TaskApi) => Promise<Result<StartedTask, Refusal>>;
type RouteContext = Context & { params: { id?: string } };

async function onStart(ctx: RouteContext, api: TaskApi, begin: Start): Promise<void> {
  const agent = await authenticateAgent(ctx, api);
  if (!agent.ok) return answerRefusal(ctx, agent.refusal);
  const started = await begin(ctx, agent.value, api);
  if (started.ok) {
    const { taskId, delegationId, expiresAt } = started.value;
    answer(ctx, { task_id: taskId, delegation_id: delegationId, expires_at: expiresAt.toISOString() }, 201);
    return;
  }
  const parent = ctx.params.id === undefined ? {} : { parentId: ctx.params.id };
  await recordRefusedTask(api.store, { agentId: agent.value.id, ...parent }, started.refusal);
  answerRefusal(ctx, started.refusal);
}

const start: Start = async (ctx, agent, { store, purposeCodes }) => {
  const request = await readJson(ctx, startSchema);
  if (!request.ok) return request;
  const { template, ...asked } = request.value;
  const repeat = readRepeat(ctx.req.headers);
  if (!repeat.ok) return repeat;
  if (template !== undefined) {
    if (Object.keys(asked).some((member) => member !== 'seconds')) {
      return refused(refusal('request_invalid', 'A template says everything but "seconds", which may be shorter.'));
    }
    const of = { agentId: agent.id, clientId: agent.clientId, template };
    return startFromTemplate(store, { ...of, ...repeat.value, seconds: asked.seconds });
  }
  const { purpose_code: code = '' } = asked;
  if (asked.tools === undefined || asked.purpose === undefined) {
    return refused(refusal('request_invalid', 'Name the "tools" of the task and its "purpose", or a "template".'));
  }
  if (code !== '' && !purposeCodes.includes(code)) {
    const known = purposeCodes.join(', ') || 'none';
    return refused(refusal('request_invalid', `There is no purpose code "${code}". Known: ${known}.`));
  }
  const resolved = await resolveAsked(store, { ...asked, tools: asked.tools });
  if (!resolved.ok) return resolved;
  return startTask(store, {
    requesterId: agent.ownerId,
    agentId: agent.id,
    clientId: agent.clientId,
    purpose: asked.purpose,
    purposeCode: code,
    ...resolved.value,
    seconds: asked.seconds ?? store.rules.taskSecondsDefault,
    oauthGrantId: null,
    ...repeat.value,
  });
};

const startBelow: Start = async (ctx, agent, { store }) => {
  const request = await readJson(ctx, subTaskSchema);
  if (!request.ok) return request;
  const repeat = readRepeat(ctx.req.headers);
  if (!repeat.ok) return repeat;
  const resolved = await resolveAsked(store, request.value);
  if (!resolved.ok) return resolved;
  const { delegation_id: delegationId, seconds: asked } = request.value;
  return startSubTask(store, {
    agentId: agent.id,
    parentTaskId: ctx.params.id ?? '',
    purpose: request.value.purpose,
    ...resolved.value,
    ...(delegationId === undefined ? {} : { delegationId }),
    ...(asked === undefined ? {} : { seconds: asked }),
    ...repeat.value,
  });
};

async function read(ctx: RouteContext, api: TaskApi): Promise<void> {
  const caller = await authenticateCaller(ctx, api, 'tasks:read');
  if (!caller.ok) return answerRefusal(ctx, caller.refusal);
  const agentId = caller.value.kind === 'agent' ? caller.value.id : null;
  const task = await describeTask(api.store, { taskId: ctx.params.id ?? '', agentId });
  if (task === undefined) {
    return answerRefusal(ctx, refusal('not_found', 'There is no such task, or you have no part in it.'));
  }
  answer(ctx, taskJson(task));
}

async function end(ctx: RouteContext, api: TaskApi): Promise<void> {
  const caller = await authenticateCaller(ctx, api, 'tasks:write');
  if (!caller.ok) return answerRefusal(ctx, caller.refusal);
  const { how = 'completed' } = ctx.query;
  if (how !== 'completed' && how !== 'cancelled') {
    return answerRefusal(ctx, refusal('request_invalid', '"how" is "completed" or "cancelled".'));
  }
  const ended = await endTask(api.store, { taskId: ctx.params.id ?? '', how, by: endedBy(caller.value) });
  if (!ended.ok) return answerRefusal(ctx, ended.refusal);
  answer(ctx, { task_id: ended.value.taskId, state: ended.value.state });
}

function endedBy(caller: TaskCaller): EndedBy {
  return caller.kind === 'agent' ? { agentId: caller.id } : caller;
}
