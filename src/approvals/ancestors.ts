import { sql } from 'kysely';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Chain } from '../model/eligibility.ts';
import type { Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/**
 * Locks everything a step-up descends from FOR SHARE, always in this order: people, agent, task, delegation, tool
 * server (design §4). A revocation takes FOR UPDATE on one of them, so it commits wholly before or wholly after.
 * The end of the task is compared before its lock is waited for; step-ups and grants end with their task at the latest, and
 * theirs is compared after. `voterId` decides in this transaction.
 */
export async function lockAncestors(tx: Tx, stepUpId: string, voterId: string): Promise<Result<Chain, Refusal>> {
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

/**
 * One statement for the whole chain, since every wait for PostgreSQL here is a wait with locks. Each part reads the one before it
 * whole, which is what keeps the order of the locks; what is read is the newest version, also after a wait. People whose
 * votes count are locked with the others, in one order; whether they may vote is for the caller to see.
 */
export async function lockChain(tx: Tx, ids: ChainIds, voterIds: readonly string[]): Promise<Result<Chain, Refusal>> {
  const row = await lockRows(tx, ids, voterIds);
  if (row.requester_state !== 'active' || row.owner_state !== 'active') {
    return refused(refusal('person_inactive', 'The person this agent acts for, or its owner, is not active any more.'));
  }
  if (row.agent_state !== 'active') {
    return refused(refusal('agent_inactive', 'The agent is not active any more.'));
  }
  if (row.agent_owner_id !== ids.owner_id) {
    return refused(refusal('conflict', 'The agent got another owner in this moment. Try again.'));
  }
  if (row.task_state !== 'active' || row.is_task_running !== true) {
    return refused(refusal('task_ended', 'The task has ended.'));
  }
  if (row.is_delegated !== true) return refused(refusal('task_ended', 'The delegation was revoked.'));
  if (row.server_state !== 'active') {
    return refused(refusal('tool_server_inactive', 'The tool server is not active any more.'));
  }
  return accepted({
    requesterId: ids.requester_id,
    agentOwnerId: row.agent_owner_id,
    toolServerOwnerId: row.server_owner_id,
  });
}

/** What the locks found; null where there is no such row. */
interface LockedRows {
  readonly requester_state: string | null;
  readonly owner_state: string | null;
  readonly agent_state: string | null;
  readonly agent_owner_id: string | null;
  readonly task_state: string | null;
  readonly is_task_running: boolean | null;
  readonly is_delegated: boolean | null;
  readonly server_state: string | null;
  readonly server_owner_id: string | null;
}

async function lockRows(tx: Tx, ids: ChainIds, voterIds: readonly string[]): Promise<LockedRows> {
  const { rows } = await sql<LockedRows>`with person as materialized (
      select id, state from people where id = any(${[ids.requester_id, ids.owner_id, ...voterIds]}::text[])
      order by id for share
    ), agent as materialized (
      select state, owner_id from agents where id = ${ids.agent_id} and (select count(*) from person) > 0 for share
    ), task as materialized (
      select state, expires_at > clock_timestamp() as is_running from tasks
      where id = ${ids.task_id} and (select count(*) from agent) > 0 for share
    ), delegation as materialized (
      select revoked_at is null as is_live from delegations
      where id = ${ids.delegation_id} and (select count(*) from task) > 0 for share
    ), server as materialized (
      select state, owner_id from tool_servers
      where id = ${ids.tool_server_id} and (select count(*) from delegation) > 0 for share
    )
    select
      (select state from server) as server_state,
      (select owner_id from server) as server_owner_id,
      (select is_live from delegation) as is_delegated,
      (select state from task) as task_state,
      (select is_running from task) as is_task_running,
      (select state from agent) as agent_state,
      (select owner_id from agent) as agent_owner_id,
      (select state from person where id = ${ids.requester_id}) as requester_state,
      (select state from person where id = ${ids.owner_id}) as owner_state`.execute(tx);
  return rows[0]!;
}
