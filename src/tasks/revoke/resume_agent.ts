import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { actingIds } from '../../model/acting.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { lockAgent } from './lock_agent.ts';
import { readReason } from './reason.ts';
import type { StopAgent } from './suspend_agent.ts';
import { transactRevocation } from './transact_revocation.ts';

/**
 * Makes a suspended agent active again. Only administrators may, since it may have been suspended against its owner. What
 * was withdrawn or revoked stays so, and tokens of before the suspension stay dead.
 */
export async function resumeAgent(store: Store, input: StopAgent): Promise<Result<null, Refusal>> {
  const reason = readReason(input.reason);
  if (!reason.ok) return reason;
  return transactRevocation(store, async (tx, afterCommit) => {
    const locked = await lockAgent(tx, input.agentId, input.by);
    if (!locked.ok) return locked;
    const { agent, isAdministrator, isOwnerActive } = locked.value;
    if (!isAdministrator) {
      return refused(refusal('not_allowed', 'Only an administrator may resume an agent. Nothing was changed.'));
    }
    if (agent.state === 'active') {
      await assureDurable(tx);
      return accepted(null);
    }
    if (agent.state !== 'suspended') {
      return refused(
        refusal('conflict', `The agent is ${agent.state}; only a suspended one can be resumed. Nothing was changed.`),
      );
    }
    if (!isOwnerActive) {
      return refused(refusal('person_inactive', 'The owner of the agent is not active. Give it another owner first.'));
    }
    const resumed = await tx
      .updateTable('agents')
      .set({ state: 'active', state_reason: reason.value, state_changed_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', agent.id)
      .where(sql<boolean>`coalesce(ends_at > clock_timestamp(), true)`)
      .returning('id')
      .executeTakeFirst();
    if (resumed === undefined) {
      return refused(refusal('conflict', 'The end that was set for this agent has passed. Set a later one first.'));
    }
    await append(store, tx, afterCommit, {
      kind: 'agent.resumed',
      ids: { agent: agent.id, ...actingIds(input.by) },
      ...(reason.value === null ? {} : { personal: { reason: reason.value } }),
    });
    return accepted(null);
  });
}
