import { sql } from 'kysely';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { NewTask, StartedTask } from './insert_task.ts';
import { RUNNING_TASKS_PER_AGENT_MAX, TOOLS_PER_TASK_MAX } from './limits.ts';

/** A lock of the agent's own, so that tasks started in parallel count each other, and find each other by their keys. */
export async function lockStarts(tx: Tx, agentId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`task-start:${agentId}`}, 0))`.execute(tx);
}

/** The task that this agent started with a request of the same idempotency key. */
export async function findStarted(
  tx: Tx,
  agentId: string,
  request: Pick<NewTask, 'startKey' | 'startDigest'>,
): Promise<Result<StartedTask, Refusal> | undefined> {
  if (request.startKey === null) return undefined;
  const row = await tx
    .selectFrom('tasks')
    .innerJoin('delegations', (join) =>
      join.onRef('delegations.task_id', '=', 'tasks.id').on('delegations.kind', '=', 'root'),
    )
    .select(['tasks.id', 'tasks.expires_at', 'tasks.start_digest', 'delegations.id as delegation_id'])
    .where('tasks.agent_id', '=', agentId)
    .where('tasks.start_key', '=', request.startKey)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  if (row.start_digest !== request.startDigest) {
    return refused(refusal('idempotency_key_reused', 'This Idempotency-Key came with another request before.'));
  }
  await assureDurable(tx);
  return accepted({ taskId: row.id, delegationId: row.delegation_id, expiresAt: row.expires_at });
}

export async function checkRoom(tx: Tx, agentId: string): Promise<Result<true, Refusal>> {
  const { running } = await tx
    .selectFrom('tasks')
    .select(tx.fn.countAll<number>().as('running'))
    .where('agent_id', '=', agentId)
    .where('state', '=', 'active')
    .where('expires_at', '>', sql<Date>`clock_timestamp()`)
    .executeTakeFirstOrThrow();
  return running < RUNNING_TASKS_PER_AGENT_MAX
    ? accepted(true)
    : refused(refusal('rate_limited', `${running} tasks of this agent are running. End some of them first.`));
}

export async function checkTools(
  tx: Tx,
  tools: ToolSelection,
  bound: ToolSelection | null,
): Promise<Result<true, Refusal>> {
  const servers = Object.keys(tools);
  const count = servers.reduce((sum, id) => sum + tools[id]!.length, 0);
  if (count === 0) return refused(refusal('request_invalid', 'A task needs at least one tool.'));
  if (count > TOOLS_PER_TASK_MAX) {
    return refused(refusal('request_invalid', `A task may include ${TOOLS_PER_TASK_MAX} tools at most.`));
  }
  const known = await tx
    .selectFrom('tools')
    .innerJoin('tool_servers', 'tool_servers.id', 'tools.tool_server_id')
    .select(['tools.tool_server_id', 'tools.name'])
    .where('tools.tool_server_id', 'in', servers)
    .where('tool_servers.state', '=', 'active')
    .where('tools.state', '=', 'accepted')
    .execute();
  const accessible = new Set(known.map((tool) => `${tool.tool_server_id} ${tool.name}`));
  for (const id of servers) {
    for (const name of tools[id]!) {
      if (!accessible.has(`${id} ${name}`)) {
        return refused(refusal('tool_unknown', `The tool "${name}" is not one that its owner has accepted.`));
      }
      if (bound !== null && !bound[id]?.includes(name)) {
        return refused(refusal('not_allowed', `This agent may not be given the tool "${name}".`));
      }
    }
  }
  return accepted(true);
}
