import { sql } from 'kysely';
import { enqueueOffboarding } from '../../approvals/outbox.ts';
import { append } from '../../events/append.ts';
import { appendAll } from '../../events/append_all.ts';
import { accepted, type Result } from '../../kernel/result.ts';
import { actingIds } from '../../model/acting.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store } from '../../store/store.ts';
import type { Refusal } from '../../wire/refusals.ts';
import { endBelow, type Revoking } from './end_below.ts';
import { type Ended, NOTHING_ENDED } from './ended.ts';
import { lockAgent, mayStop } from './lock_agent.ts';
import { readReason } from './reason.ts';
import type { StopAgent } from './suspend_agent.ts';
import { transactRevocation } from './transact_revocation.ts';

/**
 * Ends an agent for good, and everything in whose chain it is: tasks, delegations to other agents, step-ups, grants,
 * templates. One transaction, so that nothing of it is ever half offboarded. A second time changes nothing.
 */
export async function offboardAgent(store: Store, input: StopAgent): Promise<Result<Ended, Refusal>> {
  const reason = readReason(input.reason);
  if (!reason.ok) return reason;
  return transactRevocation(store, async (tx, afterCommit) => {
    const locked = await lockAgent(tx, input.agentId, input.by);
    if (!locked.ok) return locked;
    const allowed = mayStop(locked.value);
    if (!allowed.ok) return allowed;
    const { agent } = locked.value;
    if (agent.state === 'offboarded') {
      await assureDurable(tx);
      return accepted(NOTHING_ENDED);
    }
    await tx
      .updateTable('agents')
      .set({ state: 'offboarded', state_reason: reason.value, state_changed_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', agent.id)
      .execute();
    const revoking = { store, tx, afterCommit, by: input.by };
    await append(store, tx, afterCommit, {
      kind: 'agent.offboarded',
      ids: { agent: agent.id, ...actingIds(input.by) },
      ...(reason.value === null ? {} : { personal: { reason: reason.value } }),
    });
    const ended = await endBelow(revoking, {
      ancestor: { agentIds: [agent.id] },
      endedWith: agent.id,
      reason: 'An agent that this call was made by was offboarded.',
    });
    await retireTemplates(revoking, agent.id);
    await enqueueOffboarding(store, tx, afterCommit, { kind: 'agent.offboarded', subjectIds: [agent.id] });
    return accepted(ended);
  });
}

async function retireTemplates({ store, tx, afterCommit, by }: Revoking, agentId: string): Promise<void> {
  const retired = await tx
    .updateTable('task_templates')
    .set({ state: 'retired' })
    .where('agent_id', '=', agentId)
    .where('state', '<>', 'retired')
    .returning('id')
    .execute();
  await appendAll(
    store,
    tx,
    afterCommit,
    retired.map(({ id }) => ({
      kind: 'task_template.retired',
      ids: { template: id, agent: agentId, ...actingIds(by), with: agentId },
    })),
  );
}
