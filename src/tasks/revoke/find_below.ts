import { sql } from 'kysely';
import type { Tx } from '../../store/store.ts';

/** What is being ended: everything that descends from any of these goes with it. */
export type Ancestor =
  | { readonly agentIds: readonly string[] }
  | { readonly requesterId: string }
  | { readonly taskId: string }
  | { readonly delegationId: string }
  | { readonly hop: Hop };

/** Every time that one agent handed work to the other, whatever the task. */
export interface Hop {
  readonly giverId: string;
  readonly takerId: string;
}

/** What is alive below an ancestor, the ancestor itself included. */
export interface Below {
  readonly delegationIds: readonly string[];
  /** Tasks that began below it, by their root delegations. */
  readonly taskIds: readonly string[];
}

/**
 * Finds what is alive below an ancestor. Asked after the ancestor was locked FOR UPDATE, and in a statement of its own, it misses nothing:
 * whoever makes something below holds FOR SHARE on the ancestor until that is committed, or waits and finds it dead.
 */
export async function findBelow(tx: Tx, ancestor: Ancestor): Promise<Below> {
  // Not `clock_timestamp()`: by that no index is searched. A task that ends in this moment may be in it; no harm is done.
  const { rows } = await sql<{ id: string; task_id: string; kind: 'root' | 'exchange' }>`select d.id, d.task_id, d.kind
    from delegations d join tasks t on t.id = d.task_id
    where ${matching(ancestor)} and d.revoked_at is null and t.state = 'active' and t.expires_at > now()
    order by d.id`.execute(tx);
  return {
    delegationIds: rows.map(({ id }) => id),
    taskIds: rows.filter(({ kind }) => kind === 'root').map((row) => row.task_id),
  };
}

// Rows of before the chains were kept have empty ones and stand alone.
function matching(ancestor: Ancestor) {
  if ('agentIds' in ancestor) {
    return sql`(d.agent_chain && ${ancestor.agentIds}::text[] or d.agent_id = any(${ancestor.agentIds}::text[]))`;
  }
  if ('requesterId' in ancestor) return sql`t.requester_id = ${ancestor.requesterId}`;
  if ('taskId' in ancestor) {
    return sql`(d.task_chain @> array[${ancestor.taskId}]::text[] or d.task_id = ${ancestor.taskId})`;
  }
  if ('hop' in ancestor) {
    const { giverId, takerId } = ancestor.hop;
    return sql`d.delegation_chain && array(select h.id from delegations h join delegations p on p.id = h.parent_id
      where h.agent_id = ${takerId} and p.agent_id = ${giverId} and h.kind = 'exchange' and h.revoked_at is null)`;
  }
  return sql`(d.delegation_chain @> array[${ancestor.delegationId}]::text[] or d.id = ${ancestor.delegationId})`;
}
