import { type Selectable, sql } from 'kysely';
import { lockLineage } from '../approvals/ancestors.ts';
import { loadLineage } from '../approvals/lineage.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { BudgetLine } from '../model/budget.ts';
import type { DelegationsTable, TasksTable, ToolSelection } from '../store/postgres/tables.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { checkRoom, findStarted, lockStarts } from './admit_task.ts';
import { checkWithinBudget } from './budget.ts';
import { insertTask, type ParentHop, type StartedTask } from './insert_task.ts';
import { PURPOSE_LENGTH_MAX, TASK_CHAIN_MAX } from './limits.ts';
import { narrowest, outside } from './narrow.ts';

export interface StartSubTask {
  /** Acts in the parent task, and will act in the sub-task. */
  readonly agentId: string;
  readonly parentTaskId: string;
  /** The hop of this agent that it begins below; the one that begins the parent task if left out. */
  readonly delegationId?: string;
  readonly purpose: string;
  readonly tools: ToolSelection;
  readonly budget: readonly BudgetLine[];
  /** Not beyond the end of the parent; as long as that if left out. */
  readonly seconds?: number;
  readonly idempotencyKey?: string;
  readonly traceparent?: string;
}

/**
 * Starts a task below another, by the agent that acts there: a part of its tools, its time and its budget, under the same
 * constraints and for the same requester (invariant 5). It ends with anything above it. Refused without saying which where
 * the agent has no part in the parent, so that ids of others are not confirmed.
 */
export async function startSubTask(store: Store, input: StartSubTask): Promise<Result<StartedTask, Refusal>> {
  const purpose = input.purpose.trim();
  if (purpose === '' || purpose.length > PURPOSE_LENGTH_MAX) {
    return refused(refusal('request_invalid', `Say what the task is for in 1 to ${PURPOSE_LENGTH_MAX} characters.`));
  }
  return transactRepeatably(store, async (tx, afterCommit) => {
    const above = await findParent(tx, input);
    if (!above.ok) return above;
    const alive = await lockLineage(tx, above.value.hop.lineage);
    if (!alive.ok) return alive;
    await lockStarts(tx, input.agentId);
    const request = requestOf(input, purpose);
    const known = await findStarted(tx, input.agentId, request);
    if (known !== undefined) return known;
    return insertWithin(store, tx, afterCommit, { input, purpose, request, ...above.value });
  });
}

interface Above {
  readonly hop: ParentHop;
  readonly task: Selectable<TasksTable>;
  readonly clientId: string;
  /** What the hop has of the task's tools, by those above it and the bounds of their agents now. */
  readonly tools: ToolSelection;
}

async function findParent(tx: Tx, input: StartSubTask): Promise<Result<Above, Refusal>> {
  const missing = refused(
    refusal('not_found', 'This agent acts in no such task. For a hop that was handed to it, name its delegation_id.'),
  );
  const task = await tx.selectFrom('tasks').selectAll().where('id', '=', input.parentTaskId).executeTakeFirst();
  const delegation = await findHop(tx, input);
  const lineage = delegation === undefined ? undefined : await loadLineage(tx, delegation.id);
  if (task === undefined || delegation === undefined || lineage === undefined) return missing;
  if (lineage.task_ids.length >= TASK_CHAIN_MAX) {
    return refused(
      refusal('outside_delegation', `Tasks may be ${TASK_CHAIN_MAX} deep. Do this within the parent task.`),
    );
  }
  const agents = await tx
    .selectFrom('agents')
    .select(['id', 'client_id', 'bound'])
    .where('id', 'in', [...lineage.agent_ids])
    .execute();
  const clientId = agents.find(({ id }) => id === input.agentId)?.client_id;
  if (clientId === undefined) return missing;
  const hop: ParentHop = {
    taskId: task.id,
    rootId: task.root_id,
    delegationId: delegation.id,
    depth: delegation.depth,
    lineage,
    constraints: delegation.constraints,
    confirmationJkt: delegation.confirmation_jkt,
  };
  const tools = narrowest(task.tools, [delegation.tools, ...agents.map(({ bound }) => bound)]);
  return accepted({ hop, task, clientId, tools });
}

async function findHop(tx: Tx, input: StartSubTask): Promise<Selectable<DelegationsTable> | undefined> {
  const hops = tx
    .selectFrom('delegations')
    .selectAll()
    .where('task_id', '=', input.parentTaskId)
    .where('agent_id', '=', input.agentId);
  const named =
    input.delegationId === undefined ? hops.where('kind', '=', 'root') : hops.where('id', '=', input.delegationId);
  return named.executeTakeFirst();
}

interface Within extends Above {
  readonly input: StartSubTask;
  readonly purpose: string;
  readonly request: { readonly startKey: string | null; readonly startDigest: string | null };
}

async function insertWithin(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  { input, purpose, request, hop, task, clientId, tools }: Within,
): Promise<Result<StartedTask, Refusal>> {
  const beyond = outside(input.tools, tools);
  if (beyond !== undefined) {
    return refused(
      refusal('outside_delegation', `The parent task does not include the tool "${beyond.tool.slice(0, 100)}".`),
    );
  }
  if (Object.values(input.tools).every((names) => names.length === 0)) {
    return refused(refusal('request_invalid', 'A task needs at least one tool.'));
  }
  const left = await secondsLeft(tx, hop);
  if (left < 1) return refused(refusal('task_ended', 'The parent task is about to end.'));
  if (input.seconds !== undefined && input.seconds > left) {
    return refused(refusal('outside_delegation', `The parent ends in ${left} seconds, and a sub-task with it.`));
  }
  const budget = await checkWithinBudget(tx, hop.lineage.task_ids, input.budget);
  if (!budget.ok) return budget;
  const room = await checkRoom(tx, input.agentId);
  if (!room.ok) return room;
  const started = await insertTask(store, tx, afterCommit, {
    ...request,
    requesterId: task.requester_id,
    agentId: input.agentId,
    clientId,
    purpose,
    // What the parent was started for, by whom it was chosen there: an agent chooses none.
    purposeCode: task.purpose_code,
    templateId: task.template_id,
    tools: input.tools,
    budget: input.budget,
    seconds: input.seconds ?? store.rules.taskSecondsMax,
    origin: 'sub_task',
    oauthGrantId: null,
    traceparent: input.traceparent ?? null,
    parent: hop,
  });
  return accepted(started);
}

/** Whole seconds until the first end above. The rows are locked, so it does not move. */
async function secondsLeft(tx: Tx, { lineage }: ParentHop): Promise<number> {
  const { rows } = await sql<{ left: number }>`select floor(extract(epoch from least(
      (select min(expires_at) from tasks where id = any(${lineage.task_ids}::text[])),
      (select min(expires_at) from delegations where id = any(${lineage.delegation_ids}::text[])),
      (select min(ends_at) from agents where id = any(${lineage.agent_ids}::text[]))) - clock_timestamp()))::int as left`.execute(
    tx,
  );
  return rows[0]!.left;
}

function requestOf({ idempotencyKey, traceparent: _, ...asked }: StartSubTask, purpose: string) {
  if (idempotencyKey === undefined) return { startKey: null, startDigest: null };
  const text = JSON.stringify({ ...asked, purpose, tools: Object.entries(asked.tools) });
  return { startKey: sha256Base64url(idempotencyKey), startDigest: sha256Base64url(text) };
}
