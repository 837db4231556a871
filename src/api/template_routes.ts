import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { resolveAsked } from '../tasks/asked.ts';
import { resourcesOf } from '../tasks/describe.ts';
import { proposeTemplate } from '../tasks/templates/propose.ts';
import { retireTemplate } from '../tasks/templates/retire.ts';
import { findTemplate, listTemplates, type Template } from '../tasks/templates/template.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { taskMembers } from '../wire/task_request.ts';
import type { TokenVerifier } from './bearer.ts';
import { answer, answerRefusal, readJson } from './http.ts';
import { authenticateCaller, TASK_API_PATH, type TaskCaller } from './task_caller.ts';
import { budgetJson, toolsJson } from './task_json.ts';

const TEMPLATES_PATH = `${TASK_API_PATH}/task-templates`;

const { tools, purpose, purpose_code, seconds, budget } = taskMembers;
const proposeSchema = z.strictObject({
  /** Whose tasks they will be; an agent proposes for itself. */
  agent_id: z.string().max(64).optional(),
  name: z.string().max(64),
  resource: z.string().max(2048).optional(),
  ...{ tools: tools.unwrap(), purpose: purpose.unwrap(), purpose_code, seconds, budget },
  /** From now; no task is started from it after that. */
  ends_after_seconds: z.number().int().positive().max(315_360_000).optional(),
});

interface TemplateApi {
  readonly store: Store;
  readonly tokens: TokenVerifier;
  readonly purposeCodes: readonly string[];
}

/** Agents and machines propose and retire templates for tasks; people approve them, on the console and nowhere else. */
export function addTemplateRoutes(router: Router, api: TemplateApi): void {
  router.post(TEMPLATES_PATH, (ctx) => serve(ctx, api, 'tasks:write', propose, 201));
  router.get(TEMPLATES_PATH, (ctx) => serve(ctx, api, 'tasks:read', list));
  router.get(`${TEMPLATES_PATH}/:id`, (ctx) => serve(ctx, api, 'tasks:read', show));
  router.delete(`${TEMPLATES_PATH}/:id`, (ctx) => serve(ctx, api, 'tasks:write', retire));
}

type RouteContext = Context & { params: { id?: string } };
type Handler = (ctx: RouteContext, caller: TaskCaller, api: TemplateApi) => Promise<Result<JsonObject, Refusal>>;

async function serve(
  ctx: RouteContext,
  api: TemplateApi,
  scope: 'tasks:read' | 'tasks:write',
  handler: Handler,
  status = 200,
): Promise<void> {
  const caller = await authenticateCaller(ctx, api, scope);
  if (!caller.ok) return answerRefusal(ctx, caller.refusal);
  const done = await handler(ctx, caller.value, api);
  if (!done.ok) return answerRefusal(ctx, done.refusal);
  answer(ctx, done.value, status);
}

const propose: Handler = async (ctx, caller, { store, purposeCodes }) => {
  const request = await readJson(ctx, proposeSchema);
  if (!request.ok) return request;
  const asked = request.value;
  const agentId = asked.agent_id ?? (caller.kind === 'agent' ? caller.id : undefined);
  if (agentId === undefined) return refused(refusal('request_invalid', 'Name the agent: "agent_id".'));
  if (caller.kind === 'agent' && agentId !== caller.id) {
    return refused(refusal('not_allowed', 'An agent proposes templates for its own tasks only.'));
  }
  const { purpose_code: code = '' } = asked;
  if (code !== '' && !purposeCodes.includes(code)) {
    return refused(refusal('request_invalid', `There is no purpose code "${code}".`));
  }
  const resolved = await resolveAsked(store, asked);
  if (!resolved.ok) return resolved;
  const proposed = await proposeTemplate(store, {
    agentId,
    name: asked.name,
    purpose: asked.purpose,
    purposeCode: code,
    ...resolved.value,
    seconds: asked.seconds ?? store.rules.taskSecondsDefault,
    endsAfterSeconds: asked.ends_after_seconds ?? null,
    by: { kind: caller.kind, id: caller.id },
  });
  if (!proposed.ok) return proposed;
  const { templateId } = proposed.value;
  return accepted({ template_id: templateId, state: 'pending', approval_url: `${store.issuer}/task-templates` });
};

const list: Handler = async (ctx, caller, { store }) => {
  const asked = typeof ctx.query.agent_id === 'string' ? ctx.query.agent_id : null;
  const templates = await listTemplates(store, { agentId: caller.kind === 'agent' ? caller.id : asked });
  const resources = await resourcesOf(
    store,
    templates.flatMap((template) => Object.keys(template.tools)),
  );
  return accepted({ templates: templates.map((template) => templateJson(template, resources)) });
};

const show: Handler = async (ctx, caller, { store }) => {
  const template = await findTemplate(store, ctx.params.id ?? '');
  if (template === undefined || (caller.kind === 'agent' && template.agent_id !== caller.id)) {
    return refused(refusal('not_found', 'There is no such template, or it is not yours.'));
  }
  return accepted(templateJson(template, await resourcesOf(store, Object.keys(template.tools))));
};

const retire: Handler = async (ctx, caller, { store }) => {
  const templateId = ctx.params.id ?? '';
  const retired = await retireTemplate(store, { templateId, by: { kind: caller.kind, id: caller.id } });
  return retired.ok ? accepted({ template_id: templateId, state: 'retired' }) : retired;
};

function templateJson(template: Template, resources: ReadonlyMap<string, string>): JsonObject {
  return {
    template_id: template.id,
    name: template.name,
    agent_id: template.agent_id,
    requester_id: template.requester_id,
    state: template.state,
    in_force: template.isInForce,
    purpose: template.purpose,
    purpose_code: template.purpose_code,
    tools: toolsJson(template.tools, resources),
    budget: template.budget.length === 0 ? null : budgetJson(template.budget, resources),
    seconds: template.seconds,
    created_at: template.created_at.toISOString(),
    approved_at: template.approved_at?.toISOString() ?? null,
    ends_at: template.ends_at?.toISOString() ?? null,
  };
}
