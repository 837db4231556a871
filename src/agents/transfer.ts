import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import { lockToGovern, refuseUnlessGoverned } from './lock_agent.ts';
import { checkAccountable, recordOwnership } from './ownership.ts';

export interface TransferAgent {
  readonly agentId: string;
  /** Left out: as it is. */
  readonly ownerId?: string;
  readonly deputyId?: string;
  readonly by: Acting;
}

/**
 * Gives an agent another owner, deputy, or both. Both are active people then. Who answered for it is remembered: they
 * decide about nothing that began in their time.
 */
export async function transferAgent(store: Store, input: TransferAgent): Promise<Result<Agent, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const seen = await tx
      .selectFrom('agents')
      .select(['owner_id', 'deputy_id'])
      .where('id', '=', input.agentId)
      .executeTakeFirst();
    // Who stays must be active as well, so all are locked.
    const next = {
      ownerId: input.ownerId ?? seen?.owner_id ?? '',
      deputyId: input.deputyId ?? seen?.deputy_id ?? null,
    };
    const otherIds = [next.ownerId, ...(next.deputyId === null ? [] : [next.deputyId])];
    const locked = await lockToGovern(tx, { ...input, otherIds });
    if (!locked.ok) return locked;
    const { agent, actor } = locked.value;
    const governed = refuseUnlessGoverned(agent);
    if (!governed.ok) return governed;
    if (agent.kind === 'interactive') {
      return refused(refusal('conflict', 'This agent works for one person, who owns it. It cannot be transferred.'));
    }
    const stays = { owner_id: input.ownerId ?? agent.owner_id, deputy_id: input.deputyId ?? agent.deputy_id };
    if (stays.owner_id !== next.ownerId || stays.deputy_id !== next.deputyId) {
      return refused(refusal('conflict', 'The agent got another owner or deputy in this moment. Look, and try again.'));
    }
    const accountable = checkAccountable(actor, next, store.rules.singleOperator);
    if (!accountable.ok) return accountable;
    if (agent.owner_id === next.ownerId && agent.deputy_id === next.deputyId) return accepted(agent);
    await recordOwnership(tx, agent, { owner: next.ownerId, deputy: next.deputyId });
    const changed = await tx
      .updateTable('agents')
      .set({ owner_id: next.ownerId, deputy_id: next.deputyId })
      .where('id', '=', agent.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'agent.transferred',
      ids: {
        agent: agent.id,
        owner: next.ownerId,
        owner_before: agent.owner_id,
        deputy: next.deputyId,
        deputy_before: agent.deputy_id,
        ...actingIds(actor.by),
      },
    });
    return accepted(changed);
  });
}
