import { recordOwnership } from '../../agents/ownership.ts';
import type { Agent } from '../../agents/registry.ts';
import { append } from '../../events/append.ts';
import { actingIds } from '../../model/acting.ts';
import type { Tx } from '../../store/store.ts';
import type { Revoking } from './end_below.ts';

export interface OwnedAgents {
  /** Their deputy is active and becomes their owner. */
  readonly handedOver: readonly Agent[];
  /** Nobody else answers for them. */
  readonly left: readonly Agent[];
}

/** Locks the agents that a person owns FOR UPDATE and says whose deputy, among people who are locked and active, can take over. */
export async function lockOwnedAgents(tx: Tx, personId: string, activeIds: ReadonlySet<string>): Promise<OwnedAgents> {
  const agents = await tx
    .selectFrom('agents')
    .selectAll()
    .where('owner_id', '=', personId)
    .where('state', '<>', 'offboarded')
    .orderBy('id')
    .forUpdate()
    .execute();
  const canTakeOver = ({ deputy_id }: Agent) =>
    deputy_id !== null && deputy_id !== personId && activeIds.has(deputy_id);
  return { handedOver: agents.filter(canTakeOver), left: agents.filter((agent) => !canTakeOver(agent)) };
}

/** Makes the deputy the owner. Another deputy must be named: the agent's page says so, and its review. */
export async function handOver(
  { store, tx, afterCommit, by }: Revoking,
  agents: readonly Agent[],
  personId: string,
): Promise<void> {
  for (const agent of agents) {
    const next = { owner: agent.deputy_id!, deputy: null };
    await recordOwnership(tx, agent, next);
    await tx.updateTable('agents').set({ owner_id: next.owner, deputy_id: null }).where('id', '=', agent.id).execute();
    await append(store, tx, afterCommit, {
      kind: 'agent.transferred',
      ids: {
        agent: agent.id,
        owner: next.owner,
        owner_before: personId,
        deputy: null,
        deputy_before: next.owner,
        ...actingIds(by),
        with: personId,
      },
    });
  }
}
