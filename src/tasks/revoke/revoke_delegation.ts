import { loadLineage } from '../../approvals/lineage.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Acting } from '../../model/acting.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store, Tx } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { endBelow } from './end_below.ts';
import { type Ended, NOTHING_ENDED } from './ended.ts';
import { lockTask } from './lock_task.ts';
import { readReason } from './reason.ts';
import { transactRevocation } from './transact_revocation.ts';

export interface RevokeDelegation {
  readonly delegationId: string;
  readonly by: Acting;
  /** For people to read; may be empty. */
  readonly reason: string;
}

/**
 * Takes back what was handed on: the delegation and everything below it end; a task that it began ends with it. Its task
 * is locked, not only the delegation, since tasks come before delegations in the order of locks. The people of the
 * chain, agents further up in it, the agent itself and administrators may. A second time changes nothing.
 */
export async function revokeDelegation(store: Store, input: RevokeDelegation): Promise<Result<Ended, Refusal>> {
  const reason = readReason(input.reason);
  if (!reason.ok) return reason;
  return transactRevocation(store, async (tx, afterCommit) => {
    const missing = refused(refusal('not_found', 'There is no such delegation, or you have no part in it.'));
    const lineage = await loadLineage(tx, input.delegationId);
    const taskId = lineage?.task_ids.at(-1);
    if (lineage === undefined || taskId === undefined) return missing;
    const task = await lockTask(tx, taskId);
    if (task === undefined || !(await mayRevoke(tx, input.by, lineage))) return missing;
    const row = await tx
      .selectFrom('delegations')
      .select(['kind', 'revoked_at'])
      .where('id', '=', input.delegationId)
      .executeTakeFirstOrThrow();
    if (row.revoked_at !== null || task.state !== 'active') {
      await assureDurable(tx);
      return accepted(NOTHING_ENDED);
    }
    const ended = await endBelow(
      { store, tx, afterCommit, by: input.by },
      {
        ancestor: { delegationId: input.delegationId },
        endedWith: input.delegationId,
        said: reason.value,
        reason: 'The delegation that this call was made under was revoked.',
        ...(row.kind === 'root' ? { task: { id: taskId, how: 'cancelled' } } : {}),
      },
    );
    return accepted(ended);
  });
}

/** The people and agents of a chain may end what hangs in it. */
async function mayRevoke(
  tx: Tx,
  by: Acting,
  lineage: { readonly requester_id: string; readonly agent_ids: readonly string[] },
): Promise<boolean> {
  if (by.kind === 'api_token' || by.kind === 'server') return true;
  if (by.kind === 'agent') return lineage.agent_ids.includes(by.id);
  const person = await tx
    .selectFrom('people')
    .select(['id', 'is_administrator'])
    .where('id', '=', by.id)
    .where('state', '=', 'active')
    .executeTakeFirst();
  if (person === undefined) return false;
  if (person.is_administrator || person.id === lineage.requester_id) return true;
  const answersFor = await tx
    .selectFrom('agents')
    .select('id')
    .where('id', 'in', lineage.agent_ids)
    .where((where) => where.or([where('owner_id', '=', person.id), where('deputy_id', '=', person.id)]))
    .executeTakeFirst();
  return answersFor !== undefined;
}
