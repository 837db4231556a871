import { sql } from 'kysely';
import { withdrawBelow } from '../../approvals/withdraw.ts';
import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import type { Revoking } from './end_below.ts';
import { type Ended, NOTHING_ENDED } from './ended.ts';
import { findBelow } from './find_below.ts';
import { lockAgent, mayStop } from './lock_agent.ts';
import { OWNER_DISABLED, readReason } from './reason.ts';
import { transactRevocation } from './transact_revocation.ts';

export interface StopAgent {
  readonly agentId: string;
  readonly by: Acting;
  /** For people to read; may be empty. */
  readonly reason: string;
}

/**
 * Suspends an agent: from the next call on nothing runs in any chain it acts in, its tokens of before stay dead for ever, and what
 * waited for approval there is withdrawn, what was approved revoked. Its tasks are kept: they go on when it is resumed, with
 * new tokens. Suspending a suspended agent is accepted and changes nothing, but that it does not come back with its owner.
 */
export async function suspendAgent(store: Store, input: StopAgent): Promise<Result<Ended, Refusal>> {
  const reason = readReason(input.reason);
  if (!reason.ok) return reason;
  return transactRevocation(store, async (tx, afterCommit) => {
    const locked = await lockAgent(tx, input.agentId, input.by);
    if (!locked.ok) return locked;
    const allowed = mayStop(locked.value);
    if (!allowed.ok) return allowed;
    const { state, state_reason: stateReason } = locked.value.agent;
    const revoking = { store, tx, afterCommit, by: input.by };
    if (state === 'suspended') {
      // What was suspended with its owner comes back with them; what somebody suspended does not.
      if (stateReason === OWNER_DISABLED) await markSuspended(revoking, [input.agentId], reason.value);
      await assureDurable(tx);
      return accepted(NOTHING_ENDED);
    }
    if (state !== 'active') {
      return refused(
        refusal('conflict', `The agent is ${state}, so there is nothing to suspend. Nothing was changed.`),
      );
    }
    await markSuspended(revoking, [input.agentId], reason.value);
    const { delegationIds } = await findBelow(tx, { agentIds: [input.agentId] });
    const withdrawn = await withdrawBelow(store, tx, afterCommit, {
      delegationIds,
      reason: 'An agent that this call was made by was suspended.',
    });
    return accepted({ ...NOTHING_ENDED, ...withdrawn });
  });
}

/** Agents that the caller holds FOR UPDATE, and that are active, or were suspended with their owner only. */
export async function markSuspended(
  { store, tx, afterCommit, by }: Revoking,
  agentIds: readonly string[],
  reason: string | null,
): Promise<void> {
  if (agentIds.length === 0) return;
  await tx
    .updateTable('agents')
    .set({
      state: 'suspended',
      state_reason: reason,
      state_changed_at: sql<Date>`clock_timestamp()`,
      suspended_at: sql<Date>`clock_timestamp()`,
    })
    .where('id', 'in', agentIds)
    .execute();
  for (const agent of agentIds) {
    await append(store, tx, afterCommit, {
      kind: 'agent.suspended',
      ids: { agent, ...actingIds(by) },
      ...(reason === null ? {} : { personal: { reason } }),
    });
  }
}
