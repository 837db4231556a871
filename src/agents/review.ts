import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { actingIds } from '../model/acting.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import { pendingChangeOf, recordChange, withoutTerms, writeChange } from './change.ts';
import { lockToGovern, refuseUnlessGoverned } from './lock_agent.ts';
import { listPeers, type Peer } from './peers.ts';
import { addedTools } from './terms.ts';

/** A tool that an agent may use, or did. */
export interface ReviewedTool {
  readonly tool_server_id: string;
  readonly tool_server: string;
  readonly tool: string;
  /** Null: never since such things are kept. */
  readonly last_used_at: Date | null;
  /** Its tool server lists it still. */
  readonly is_listed: boolean;
}

/** What an agent was given beside what it used. Of one without a bound, only what it used can be listed. */
export interface AgentReview {
  readonly is_bounded: boolean;
  readonly tools: readonly ReviewedTool[];
  readonly peers: readonly Peer[];
}

export async function loadReview(store: Store, agent: Pick<Agent, 'id' | 'bound'>): Promise<AgentReview> {
  const given = Object.entries(agent.bound ?? {}).flatMap(([server, names]) =>
    names.map((name) => [server, name] as const),
  );
  const { rows } = await sql<ReviewedTool>`
    with given as (
      select * from unnest(${given.map(([server]) => server)}::text[], ${given.map(([, name]) => name)}::text[])
        as g (tool_server_id, tool)
      union
      select tool_server_id, tool_name from agent_uses where agent_id = ${agent.id} and ${agent.bound === null}
    )
    select g.tool_server_id, coalesce(s.name, g.tool_server_id) as tool_server, g.tool, u.last_used_at,
      exists (select 1 from tools t where t.tool_server_id = g.tool_server_id and t.name = g.tool and t.state <> 'removed')
        as is_listed
    from given g
    left join tool_servers s on s.id = g.tool_server_id
    left join agent_uses u on u.agent_id = ${agent.id} and u.tool_server_id = g.tool_server_id and u.tool_name = g.tool
    order by tool_server, g.tool`.execute(store.db);
  return { is_bounded: agent.bound !== null, tools: rows, peers: await listPeers(store, agent.id) };
}

export interface ReviewAgent {
  readonly agentId: string;
  readonly by: string;
  /** Taken from the bound; of an agent without one, nothing can be. */
  readonly remove?: ToolSelection;
  /** For an agent without a bound: from now on, this. */
  readonly limitTo?: ToolSelection;
}

/** A person who governs the agent has looked at what it was given, and takes away what it does not need, in one step. */
export async function reviewAgent(store: Store, input: ReviewAgent): Promise<Result<Agent, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const locked = await lockToGovern(tx, { agentId: input.agentId, by: { kind: 'person', id: input.by } });
    if (!locked.ok) return locked;
    const { agent, actor } = locked.value;
    const governed = refuseUnlessGoverned(agent);
    if (!governed.ok) return governed;
    const next = reviewedBound(agent.bound, input);
    if (!next.ok) return next;
    const now = next.value === agent.bound ? {} : { bound: next.value };
    await writeChange(tx, agent.id, now, withoutTerms(pendingChangeOf(agent), now));
    await recordChange(store, tx, afterCommit, actor, { agent, now });
    const reviewed = await tx
      .updateTable('agents')
      .set({ reviewed_at: sql<Date>`clock_timestamp()`, review_warned_at: null })
      .where('id', '=', agent.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'agent.reviewed',
      ids: { agent: agent.id, removed: countOf(input.remove), ...actingIds(actor.by) },
    });
    return accepted(reviewed);
  });
}

/** The bound after a review, which is never wider than before. */
function reviewedBound(
  bound: ToolSelection | null,
  { remove, limitTo }: ReviewAgent,
): Result<ToolSelection | null, Refusal> {
  if (limitTo !== undefined) {
    return bound === null
      ? accepted(limitTo)
      : refused(refusal('page_outdated', 'This agent was given a bound meanwhile. Nothing was changed.'));
  }
  if (remove === undefined || Object.keys(remove).length === 0) return accepted(bound);
  if (bound === null) {
    return refused(
      refusal('conflict', 'This agent has no bound to take tools from. Limit it to what it used instead.'),
    );
  }
  return accepted(addedTools(remove, bound));
}

function countOf(selection: ToolSelection | undefined): number {
  return Object.values(selection ?? {}).flat().length;
}
