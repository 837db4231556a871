import { sql } from 'kysely';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/**
 * Locks everything a step-up descends from FOR SHARE, always in this order: people, agent, task, delegation, tool
 * server (design §4). A revocation takes FOR UPDATE on one of them, so it commits wholly before or wholly after.
 * The end of the task is compared before its lock is waited for; step-ups and grants end with their task at the latest, and
 * theirs is compared after. `voterId` decides in this transaction.
 */
export async function lockAncestors(tx: Tx, stepUpId: string, voterId: string): Promise<Result<true, Refusal>> {
  const ids = await tx
    .selectFrom('step_ups')
    .innerJoin('agents', 'agents.id', 'step_ups.agent_id')
    .select(['requester_id', 'agent_id', 'task_id', 'delegation_id', 'tool_server_id', 'agents.owner_id'])
    .where('step_ups.id', '=', stepUpId)
    .executeTakeFirst();
  if (ids === undefined) return refused(refusal('not_found', 'There is no such request.'));
  return lockChain(tx, ids, [voterId]);
}

export interface ChainIds {
  readonly requester_id: string;
  readonly owner_id: string;
  readonly agent_id: string;
  readonly task_id: string;
  readonly delegation_id: string;
  readonly tool_server_id: string;
}

/** People whose votes count are locked with the others, in one order; whether they may vote is for the caller to see. */
export async function lockChain(tx: Tx, ids: ChainIds, voterIds: readonly string[]): Promise<Result<true, Refusal>> {
  const people = await tx
    .selectFrom('people')
    .select(['id', 'state'])
    .where('id', 'in', [ids.requester_id, ids.owner_id, ...voterIds])
    .orderBy('id')
    .forShare()
    .execute();
  const inChain = people.filter(({ id }) => id === ids.requester_id || id === ids.owner_id);
  if (inChain.some((person) => person.state !== 'active')) {
    return refused(refusal('person_inactive', 'The person this agent acts for, or its owner, is not active any more.'));
  }
  const agent = await tx
    .selectFrom('agents')
    .select('state')
    .where('id', '=', ids.agent_id)
    .forShare()
    .executeTakeFirst();
  if (agent?.state !== 'active') return refused(refusal('agent_inactive', 'The agent is not active any more.'));
  const task = await tx
    .selectFrom('tasks')
    .select(['state', sql<boolean>`expires_at > clock_timestamp()`.as('is_running')])
    .where('id', '=', ids.task_id)
    .forShare()
    .executeTakeFirst();
  if (task?.state !== 'active' || !task.is_running) return refused(refusal('task_ended', 'The task has ended.'));
  const delegation = await tx
    .selectFrom('delegations')
    .select('revoked_at')
    .where('id', '=', ids.delegation_id)
    .forShare()
    .executeTakeFirst();
  if (delegation?.revoked_at !== null) return refused(refusal('task_ended', 'The delegation was revoked.'));
  const server = await tx
    .selectFrom('tool_servers')
    .select('state')
    .where('id', '=', ids.tool_server_id)
    .forShare()
    .executeTakeFirst();
  if (server?.state !== 'active')
    return refused(refusal('tool_server_inactive', 'The tool server is not active any more.'));
  return accepted(true);
}
