import { type Selectable, sql } from 'kysely';
import type { Lineage } from '../approvals/lineage.ts';
import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { BudgetLine } from '../model/budget.ts';
import type { TasksTable, ToolSelection } from '../store/postgres/tables.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { insertBudget } from './budget.ts';

export interface NewTask {
  readonly requesterId: string;
  readonly agentId: string;
  readonly clientId: string;
  readonly purpose: string;
  readonly purposeCode: string;
  readonly tools: ToolSelection;
  readonly seconds: number;
  readonly budget: readonly BudgetLine[];
  readonly origin: TaskOrigin;
  readonly templateId: string | null;
  readonly oauthGrantId: string | null;
  readonly traceparent: string | null;
  /** The idempotency key of the request, hashed, and the digest of that request. */
  readonly startKey: string | null;
  readonly startDigest: string | null;
  /** The hop that this one begins below; null for a task that stands for itself. */
  readonly parent: ParentHop | null;
}

export type TaskOrigin = Selectable<TasksTable>['origin'];

export interface ParentHop {
  readonly taskId: string;
  readonly rootId: string;
  readonly delegationId: string;
  readonly depth: number;
  readonly lineage: Lineage;
  readonly constraints: readonly JsonObject[] | null;
  readonly confirmationJkt: string | null;
}

export interface StartedTask {
  readonly taskId: string;
  readonly delegationId: string;
  readonly expiresAt: Date;
}

/**
 * Writes a task with its first delegation, its budget and its event. What it descends from was locked and found alive, and
 * what it is given was found to be within that.
 */
export async function insertTask(store: Store, tx: Tx, afterCommit: AfterCommit, task: NewTask): Promise<StartedTask> {
  const taskId = newId('tsk');
  const delegationId = newId('dlg');
  const expiresAt = await insertRow(tx, taskId, task);
  const { parent } = task;
  await tx
    .insertInto('delegations')
    .values({
      id: delegationId,
      task_id: taskId,
      parent_id: parent?.delegationId ?? null,
      agent_id: task.agentId,
      depth: parent?.depth ?? 0,
      agent_chain: [...(parent?.lineage.agent_ids ?? [task.agentId])],
      task_chain: [...(parent?.lineage.task_ids ?? []), taskId],
      delegation_chain: [...(parent?.lineage.delegation_ids ?? []), delegationId],
      // What held for the hops above goes on to hold.
      constraints: parent === null || parent.constraints === null ? null : JSON.stringify(parent.constraints),
      confirmation_jkt: parent?.confirmationJkt ?? null,
      revoked_at: null,
    })
    .execute();
  await insertBudget(tx, taskId, task.budget);
  await append(store, tx, afterCommit, {
    kind: 'task.started',
    ids: {
      task: taskId,
      agent: task.agentId,
      requester: task.requesterId,
      delegation: delegationId,
      expires_at: expiresAt.toISOString(),
      origin: task.origin,
      ...(parent === null ? {} : { parent: parent.taskId, root: parent.rootId }),
      ...(task.templateId === null ? {} : { template: task.templateId }),
      ...(task.budget.length === 0 ? {} : { budget: budgetText(task.budget) }),
    },
    personal: { purpose: task.purpose },
  });
  return { taskId, delegationId, expiresAt };
}

// The least of all ends above, by the clock of the same statement: nothing below lives longer.
async function insertRow(tx: Tx, taskId: string, task: NewTask): Promise<Date> {
  const { parent } = task;
  const agents = [...(parent?.lineage.agent_ids ?? [task.agentId])];
  const { expires_at } = await tx
    .insertInto('tasks')
    .values({
      id: taskId,
      root_id: parent?.rootId ?? taskId,
      parent_id: parent?.taskId ?? null,
      requester_id: task.requesterId,
      agent_id: task.agentId,
      client_id: task.clientId,
      purpose: task.purpose,
      purpose_code: task.purposeCode,
      tools: JSON.stringify(task.tools),
      state: 'active',
      oauth_grant_id: task.oauthGrantId,
      start_key: task.startKey,
      start_digest: task.startDigest,
      template_id: task.templateId,
      origin: task.origin,
      traceparent: task.traceparent,
      expires_at: sql<Date>`least(clock_timestamp() + make_interval(secs => ${task.seconds}),
        (select min(ends_at) from agents where id = any(${agents}::text[])),
        (select min(expires_at) from tasks where id = any(${[...(parent?.lineage.task_ids ?? [])]}::text[])),
        (select min(expires_at) from delegations where id = any(${[...(parent?.lineage.delegation_ids ?? [])]}::text[])))`,
      ended_at: null,
    })
    .returning('expires_at')
    .executeTakeFirstOrThrow();
  return expires_at;
}

function budgetText(budget: readonly BudgetLine[]): string {
  return budget.map(({ what, maximum }) => `${what} <= ${maximum}`).join('; ');
}
