import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { enqueue } from './outbox.ts';
import { forgetCached, wakeStepUp } from './status.ts';

/**
 * The caller cancelled explicitly: an undecided step-up of this tool server is withdrawn. False if it was not undecided; true
 * again for one that was withdrawn so.
 */
export async function withdrawStepUp(
  store: Store,
  input: { readonly stepUpId: string; readonly toolServerId: string; readonly reason: string },
): Promise<boolean> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const row = await tx
      .updateTable('step_ups')
      .set({ state: 'withdrawn', reason: input.reason, decided_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', input.stepUpId)
      .where('tool_server_id', '=', input.toolServerId)
      .where('state', 'in', ['registered', 'open'])
      .returning('id')
      .executeTakeFirst();
    if (row === undefined) return wasWithdrawn(tx, input);
    await recordWithdrawal(store, tx, afterCommit, row.id);
    return true;
  });
}

async function wasWithdrawn(
  tx: Tx,
  input: { readonly stepUpId: string; readonly toolServerId: string; readonly reason: string },
): Promise<boolean> {
  const row = await tx
    .selectFrom('step_ups')
    .select('id')
    .where('id', '=', input.stepUpId)
    .where('tool_server_id', '=', input.toolServerId)
    .where('state', '=', 'withdrawn')
    .where('reason', '=', input.reason)
    .executeTakeFirst();
  if (row !== undefined) await assureDurable(tx);
  return row !== undefined;
}

/** With the end of a task its undecided step-ups are withdrawn and its unused grants revoked, in the same transaction. */
export async function withdrawForTask(store: Store, tx: Tx, afterCommit: AfterCommit, taskId: string): Promise<void> {
  const stepUps = await tx
    .updateTable('step_ups')
    .set({ state: 'withdrawn', reason: 'The task has ended.', decided_at: sql<Date>`clock_timestamp()` })
    .where('task_id', '=', taskId)
    .where('state', 'in', ['registered', 'open'])
    .returning('id')
    .execute();
  for (const { id } of stepUps) await recordWithdrawal(store, tx, afterCommit, id);
  const grants = await tx
    .updateTable('grants')
    .set({ revoked_at: sql<Date>`clock_timestamp()` })
    .where('step_up_id', 'in', tx.selectFrom('step_ups').select('id').where('task_id', '=', taskId))
    .where('revoked_at', 'is', null)
    .whereRef('uses', '<', 'max_uses')
    .returning(['id', 'step_up_id'])
    .execute();
  for (const grant of grants) {
    await append(store, tx, afterCommit, {
      kind: 'grant.revoked',
      ids: { grant: grant.id, step_up: grant.step_up_id },
    });
    afterCommit(() => forgetCached(store, grant.step_up_id));
    afterCommit(() => wakeStepUp(store, grant.step_up_id));
  }
}

async function recordWithdrawal(store: Store, tx: Tx, afterCommit: AfterCommit, stepUpId: string): Promise<void> {
  await append(store, tx, afterCommit, { kind: 'step_up.withdrawn', ids: { step_up: stepUpId } });
  await enqueue(store, tx, afterCommit, { kind: 'step_up.decided', stepUpId });
  afterCommit(() => wakeStepUp(store, stepUpId));
}
