import type Router from '@koa/router';
import type { Context } from 'koa';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { readTrace, type TraceReader } from '../tasks/trace/read_trace.ts';
import type { TaskTrace } from '../tasks/trace/trace.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { authenticateApiToken } from './api_token_auth.ts';
import type { TokenVerifier } from './bearer.ts';
import { answer, answerRefusal } from './http.ts';
import { authenticateAgent } from './task_caller.ts';
import { TASK_API_PATH } from './task_routes.ts';

/**
 * `GET /api/v1/tasks/{id}/trace?after=…`: for a machine that administers (API token with `tasks:read`), and for an agent of
 * its own tasks. People read it on the task's page.
 */
export function addTraceRoutes(router: Router, parts: { readonly store: Store; readonly tokens: TokenVerifier }): void {
  router.get(`${TASK_API_PATH}/tasks/:id/trace`, async (ctx) => {
    const reader = await readerOf(ctx, parts);
    if (!reader.ok) return answerRefusal(ctx, reader.refusal);
    const after = readAfter(ctx.query.after);
    if (after === undefined) {
      return answerRefusal(ctx, refusal('request_invalid', '"after" must be the number "next" of the page before.'));
    }
    const trace = await readTrace(parts.store, { taskId: ctx.params.id ?? '', reader: reader.value, after });
    if (!trace.ok) return answerRefusal(ctx, trace.refusal);
    answer(ctx, wireTrace(trace.value));
  });
}

async function readerOf(
  ctx: Context,
  { store, tokens }: { readonly store: Store; readonly tokens: TokenVerifier },
): Promise<Result<TraceReader, Refusal>> {
  if (/^bearer\s+cst_/i.test(ctx.get('Authorization'))) {
    const token = await authenticateApiToken(ctx, store, 'tasks:read');
    return token.ok ? accepted({ kind: 'api_token' }) : token;
  }
  const agent = await authenticateAgent(ctx, { store, tokens });
  return agent.ok ? accepted({ kind: 'agent', id: agent.value.id }) : agent;
}

function readAfter(value: string | string[] | undefined): number | undefined {
  if (value === undefined) return 0;
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

const time = (date: Date | null) => date?.toISOString() ?? null;

function wireTrace(trace: TaskTrace): JsonObject {
  return {
    task_id: trace.taskId,
    requester: { ...trace.requester },
    tasks: trace.tasks.map((task) => ({
      task_id: task.id,
      parent_id: task.parentId,
      agent_id: task.agentId,
      purpose: task.purpose,
      purpose_code: task.purposeCode,
      state: task.state,
      origin: task.origin,
      traceparent: task.traceparent,
      tools: Object.fromEntries(Object.entries(task.tools).map(([server, names]) => [server, [...names]])),
      budget: task.budget.map((one) => ({ ...one })),
      started_at: time(task.startedAt),
      expires_at: time(task.expiresAt),
      ended_at: time(task.endedAt),
    })),
    delegations: trace.delegations.map((one) => ({
      delegation_id: one.id,
      task_id: one.taskId,
      parent_id: one.parentId,
      kind: one.kind,
      agent: { ...one.agent },
      owner: { ...one.owner },
      depth: one.depth,
      tools:
        one.tools === null
          ? null
          : Object.fromEntries(Object.entries(one.tools).map(([id, names]) => [id, [...names]])),
      constraints: [...one.constraints],
      made_at: time(one.madeAt),
      expires_at: time(one.expiresAt),
      revoked_at: time(one.revokedAt),
    })),
    events: trace.events.map(({ position, at, kind, what, ids }) => ({
      position,
      at: time(at),
      kind,
      what,
      ids: { ...ids },
    })),
    names: { ...trace.names },
    next: trace.next,
  };
}
