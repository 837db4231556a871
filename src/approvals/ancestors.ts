import { sql } from 'kysely';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Chain } from '../model/eligibility.ts';
import type { Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { chainOf, type Lineage, loadLineage } from './lineage.ts';

/**
 * Locks everything a step-up descends from FOR SHARE, always in this order: people and agents by id, tasks and delegations
 * from the root down, tool server (design §4). A revocation takes FOR UPDATE on one of them and then goes down, so it
 * commits wholly before or wholly after, and nobody who waits for it holds what it needs next.
 * Ends are compared before their locks are waited for; step-ups and grants end with their task at the latest, and
 * theirs is compared after. `voterId` decides in this transaction.
 */
export async function lockAncestors(tx: Tx, stepUpId: string, voterId: string): Promise<Result<Chain, Refusal>> {
  const ids = await tx
    .selectFrom('step_ups')
    .select(['delegation_id', 'tool_server_id'])
    .where('id', '=', stepUpId)
    .executeTakeFirst();
  const lineage = ids === undefined ? undefined : await loadLineage(tx, ids.delegation_id);
  if (ids === undefined || lineage === undefined) return refused(refusal('not_found', 'There is no such request.'));
  return lockChain(tx, lineage, ids.tool_server_id, [voterId]);
}

/** As `lockLineage`, with the tool server that is called. People whose votes count are locked with the others. */
export async function lockChain(
  tx: Tx,
  lineage: Lineage,
  toolServerId: string,
  voterIds: readonly string[],
): Promise<Result<Chain, Refusal>> {
  const row = await lockRows(tx, lineage, toolServerId, voterIds);
  const alive = checkAlive(row, lineage);
  if (!alive.ok) return alive;
  if (row.server_state !== 'active') {
    return refused(refusal('tool_server_inactive', 'The tool server is not active any more.'));
  }
  return accepted(chainOf(lineage, row.server_owner_id));
}

/**
 * Locks what a delegation descends from, itself included, for whoever makes something below it: a revocation that is under way
 * is waited for, and one that comes later finds what was made.
 */
export async function lockLineage(tx: Tx, lineage: Lineage): Promise<Result<true, Refusal>> {
  return checkAlive(await lockRows(tx, lineage, null, []), lineage);
}

/** What the locks found; null where there is no such row. */
interface LockedRows {
  readonly live_people: number;
  readonly agents_alive: number;
  readonly same_owners: number;
  readonly tasks_active: number;
  readonly delegations_alive: number;
  readonly server_state: string | null;
  readonly server_owner_id: string | null;
}

function checkAlive(row: LockedRows, lineage: Lineage): Result<true, Refusal> {
  if (row.live_people !== new Set([lineage.requester_id, ...lineage.owner_ids]).size) {
    return refused(refusal('person_inactive', 'The person this agent acts for, or its owner, is not active any more.'));
  }
  if (row.agents_alive !== lineage.agent_ids.length) {
    return refused(refusal('agent_inactive', 'The agent, or one that it acts for, is not active any more.'));
  }
  if (row.same_owners !== lineage.agent_ids.length) {
    return refused(refusal('conflict', 'The agent got another owner in this moment. Try again.'));
  }
  if (row.tasks_active !== lineage.task_ids.length) return refused(refusal('task_ended', 'The task has ended.'));
  if (row.delegations_alive !== lineage.delegation_ids.length) {
    return refused(refusal('task_ended', 'The delegation was revoked, or has ended.'));
  }
  return accepted(true);
}

// One statement for the whole chain, since every wait for PostgreSQL here is a wait with locks. Each part reads the one
// before it whole, which is what keeps the order of the locks; what is read is the newest version, also after a wait.
async function lockRows(
  tx: Tx,
  lineage: Lineage,
  toolServerId: string | null,
  voterIds: readonly string[],
): Promise<LockedRows> {
  const acting = [lineage.requester_id, ...lineage.owner_ids];
  const { rows } = await sql<LockedRows>`with person as materialized (
      select id, state from people where id = any(${[...acting, ...voterIds]}::text[]) order by id for share
    ), agent as materialized (
      select id, owner_id, state = 'active' and coalesce(ends_at > clock_timestamp(), true) as is_alive from agents
      where id = any(${lineage.agent_ids}::text[]) and (select count(*) from person) > 0 order by id for share
    ), task as materialized (
      select state = 'active' and expires_at > clock_timestamp() as is_running from tasks
      where id = any(${lineage.task_ids}::text[]) and (select count(*) from agent) > 0
      order by array_position(${lineage.task_ids}::text[], id) for share
    ), delegation as materialized (
      select revoked_at is null and coalesce(expires_at > clock_timestamp(), true) as is_live from delegations
      where id = any(${lineage.delegation_ids}::text[]) and (select count(*) from task) > 0
      order by array_position(${lineage.delegation_ids}::text[], id) for share
    ), server as materialized (
      select state, owner_id from tool_servers
      where id = ${toolServerId} and (select count(*) from delegation) > 0 for share
    )
    select
      (select state from server) as server_state,
      (select owner_id from server) as server_owner_id,
      (select count(*) from delegation where is_live)::int as delegations_alive,
      (select count(*) from task where is_running)::int as tasks_active,
      (select count(*) from agent where is_alive)::int as agents_alive,
      (select count(*) from agent a
        join unnest(${lineage.agent_ids}::text[], ${lineage.owner_ids}::text[]) as o (agent_id, owner_id)
        on o.agent_id = a.id and o.owner_id = a.owner_id)::int as same_owners,
      (select count(*) from person where state = 'active' and id = any(${acting}::text[]))::int as live_people`.execute(
    tx,
  );
  return rows[0]!;
}
