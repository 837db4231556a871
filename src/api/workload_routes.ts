import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import { findAgent } from '../agents/registry.ts';
import { addWorkload, listWorkloads, removeWorkload, type Workload } from '../agents/workloads.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Acting } from '../model/acting.ts';
import type { ApiTokenScope } from '../model/api_token.ts';
import type { WorkloadIssuer } from '../model/federation.ts';
import type { Store } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { authenticateApiToken } from './api_token_auth.ts';
import { answer, answerRefusal, readJson } from './http.ts';

const WORKLOADS_PATH = '/api/v1/agents/:id/workloads';

const addSchema = z.strictObject({
  issuer: z.string().max(500),
  subject: z.string().max(2048),
  claims: z.record(z.string().max(2048), z.string().max(2048)).default({}),
});

export interface WorkloadApi {
  readonly store: Store;
  readonly platforms: readonly WorkloadIssuer[];
}

/** Which tokens of which platform are an agent, for machines that administer. */
export function addWorkloadRoutes(router: Router, { store, platforms }: WorkloadApi): void {
  const serve =
    (
      scope: ApiTokenScope,
      status: number,
      handle: (ctx: Context, by: Acting) => Promise<Result<JsonObject, Refusal>>,
    ) =>
    async (ctx: Context) => {
      const token = await authenticateApiToken(ctx, store, scope);
      if (!token.ok) return answerRefusal(ctx, token.refusal);
      const done = await handle(ctx, { kind: 'api_token', id: token.value.id });
      if (done.ok) answer(ctx, done.value, status);
      else answerRefusal(ctx, done.refusal);
    };
  router.get(
    WORKLOADS_PATH,
    serve('agents:read', 200, (ctx) => list(store, ctx.params.id ?? '')),
  );
  router.post(
    WORKLOADS_PATH,
    serve('agents:write', 201, async (ctx, by) => {
      const request = await readJson(ctx, addSchema);
      if (!request.ok) return request;
      const added = await addWorkload(store, platforms, { ...request.value, agentId: ctx.params.id ?? '', by });
      return added.ok ? accepted(workloadJson(added.value)) : added;
    }),
  );
  router.delete(
    `${WORKLOADS_PATH}/:workload`,
    serve('agents:write', 200, async (ctx, by) => {
      const { id = '', workload = '' } = ctx.params;
      const removed = await removeWorkload(store, { agentId: id, workloadId: workload, by });
      return removed.ok ? accepted({ workload_id: removed.value.id }) : removed;
    }),
  );
}

async function list(store: Store, agentId: string): Promise<Result<JsonObject, Refusal>> {
  if ((await findAgent(store, agentId)) === undefined) {
    return refused(refusal('not_found', 'There is no such agent.'));
  }
  return accepted({ workloads: (await listWorkloads(store, agentId)).map(workloadJson) });
}

function workloadJson(workload: Workload): JsonObject {
  return {
    workload_id: workload.id,
    issuer: workload.issuer,
    audience: workload.audience,
    subject: workload.subject,
    claims: { ...workload.claims },
    created_by: workload.created_by,
    created_at: workload.created_at.toISOString(),
    last_used_at: workload.last_used_at?.toISOString() ?? null,
  };
}
