import { sql } from 'kysely';
import { groupsOf } from '../approvals/groups.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store, Tx } from '../store/store.ts';
import type { CallChain } from './principal.ts';

/** The agent that takes the work, and who answers for it. */
export interface Taker {
  readonly id: string;
  readonly name: string;
  readonly kind: 'interactive' | 'service';
  readonly trust_zone: string;
  readonly bound: ToolSelection | null;
  readonly owner: { readonly id: string; readonly is_administrator: boolean; readonly groups: readonly string[] };
}

/** What the records say of one hop. */
export interface HopFacts {
  readonly taker: Taker;
  /** The one that hands on may hand work to the taker, and the taker may take it from there. */
  readonly mayGive: boolean;
  readonly mayTake: boolean;
  /** Hops that each agent of the chain lets follow it, in the order of the chain. */
  readonly depthsMax: readonly number[];
}

/** Who owns the agent, if it can take work at all now. */
export async function findTakerOwner(db: Store['db'], agentId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('agents as a')
    .innerJoin('people as o', 'o.id', 'a.owner_id')
    .select('o.id')
    .where('a.id', '=', agentId)
    .where('a.state', '=', 'active')
    .where('o.state', '=', 'active')
    .where(sql<boolean>`coalesce(a.ends_at > clock_timestamp(), true)`)
    .executeTakeFirst();
  return row?.id;
}

interface Row extends Omit<Taker, 'owner'> {
  readonly owner_id: string;
  readonly is_administrator: boolean;
  readonly groups: readonly string[];
  readonly depths_max: readonly number[];
  readonly may_give: boolean;
  readonly may_take: boolean;
}

/**
 * Reads the hop for a transaction that has locked the agents. The approvals of the peers are shared, so that whoever takes one
 * back finds what was made under it.
 */
export async function loadHop(tx: Tx, chain: CallChain, takerId: string): Promise<HopFacts> {
  const { agent_ids: agents } = chain.lineage;
  const giver = chain.agent.id;
  const { rows } = await sql<Row>`with peer as materialized (
      select agent_id, direction from agent_peers
      where (agent_id = ${giver} and direction = 'to' and peer_id = ${takerId})
        or (agent_id = ${takerId} and direction = 'from' and peer_id = ${giver})
      order by agent_id for share
    )
    select a.id, a.name, a.kind, a.trust_zone, a.bound, o.id as owner_id, o.is_administrator,
      ${groupsOf(sql`o.id`)} as groups,
      (select array_agg(x.delegation_depth_max order by array_position(${agents}::text[], x.id)) from agents x
        where x.id = any(${agents}::text[])) as depths_max,
      exists (select 1 from peer where direction = 'to') as may_give,
      exists (select 1 from peer where direction = 'from') as may_take
    from agents a join people o on o.id = a.owner_id
    where a.id = ${takerId}`.execute(tx);
  const { id, name, kind, trust_zone, bound, ...row } = rows[0]!;
  return {
    taker: {
      id,
      name,
      kind,
      trust_zone,
      bound,
      owner: { id: row.owner_id, is_administrator: row.is_administrator, groups: row.groups },
    },
    mayGive: row.may_give,
    mayTake: row.may_take,
    depthsMax: row.depths_max,
  };
}
