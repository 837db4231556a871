import { sql } from 'kysely';
import type { Chain } from '../model/eligibility.ts';
import type { Store, Tx } from '../store/store.ts';

/**
 * Everything a delegation descends from, root first and itself last. Who and what is in it was fixed when the delegation was
 * made; who answers for its agents may change.
 */
export interface Lineage {
  readonly requester_id: string;
  readonly agent_ids: readonly string[];
  /** Who owns each of the agents now, in their order. */
  readonly owner_ids: readonly string[];
  readonly task_ids: readonly string[];
  readonly delegation_ids: readonly string[];
  /** Owners and deputies, also those of before if the root task ran in their time (invariant 6). */
  readonly accountable_ids: readonly string[];
  /** Who may have a credential of one of the agents, and so could act as it: they answer for nothing, and decide nothing. */
  readonly key_holder_ids: readonly string[];
}

/** The lineage of a delegation, read without locks; `lockLineage` and `useGrant` compare what can change. */
export async function loadLineage(db: Store['db'] | Tx, delegationId: string): Promise<Lineage | undefined> {
  const { rows } = await sql<Lineage>`select t.requester_id, ${lineageColumns} from ${lineageTables}
    where d.id = ${delegationId}`.execute(db);
  return rows[0];
}

/** Those of many delegations, by their ids. */
export async function loadLineages(
  db: Store['db'] | Tx,
  delegationIds: readonly string[],
): Promise<Map<string, Lineage>> {
  const { rows } = await sql<
    Lineage & { id: string }
  >`select d.id, t.requester_id, ${lineageColumns} from ${lineageTables}
    where d.id = any(${[...new Set(delegationIds)]}::text[])`.execute(db);
  return new Map(rows.map(({ id, ...lineage }) => [id, lineage]));
}

/** Of `lineageTables`. Rows of before the chains were kept stand alone. */
export const lineageColumns = sql`c.agent_ids, c.task_ids, c.delegation_ids,
  (select array_agg(a.owner_id order by array_position(c.agent_ids, a.id)) from agents a
    where a.id = any(c.agent_ids)) as owner_ids,
  (select coalesce(array_agg(distinct x.person_id), '{}') from (
    select unnest(array[a.owner_id, a.deputy_id]) as person_id from agents a where a.id = any(c.agent_ids)
    union all
    select o.person_id from agent_ownerships o
    where o.agent_id = any(c.agent_ids)
      and (o.until is null or o.until >= (select created_at from tasks where id = c.task_ids[1]))
  ) x where x.person_id is not null) as accountable_ids,
  (select coalesce(array_agg(distinct x.person_id), '{}') from (
    select unnest(a.key_holder_ids) as person_id from agents a where a.id = any(c.agent_ids)
    union all
    select w.created_by from agent_workloads w where w.agent_id = any(c.agent_ids)
  ) x) as key_holder_ids`;

export const lineageTables = sql`delegations d join tasks t on t.id = d.task_id
  cross join lateral (select
    case when d.agent_chain = '{}' then array[d.agent_id] else d.agent_chain end as agent_ids,
    case when d.task_chain = '{}' then array[d.task_id] else d.task_chain end as task_ids,
    case when d.delegation_chain = '{}' then array[d.id] else d.delegation_chain end as delegation_ids) c`;

/** The people who act in it, for the rules of who may decide. */
export function chainOf(lineage: Lineage, toolServerOwnerId: string | null): Chain {
  return {
    requesterId: lineage.requester_id,
    accountableIds: lineage.accountable_ids,
    keyHolderIds: lineage.key_holder_ids,
    toolServerOwnerId,
  };
}
