import { sql } from 'kysely';
import { enqueueOffboarding } from '../approvals/outbox.ts';
import { withdrawBelow } from '../approvals/withdraw.ts';
import { appendAll } from '../events/append_all.ts';
import { type Sweep, startSweep } from '../kernel/sweep.ts';
import { actingIds, BY_SERVER } from '../model/acting.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { TASK_EXPIRY_BATCH_MAX, TASK_EXPIRY_SWEEP_MS } from './limits.ts';

const EXPIRED_REASON = 'The time of the task is over.';

/**
 * Marks tasks whose time is over, so that each end is told once: undecided step-ups are withdrawn and unused grants revoked
 * with it. What is below ends by its own time, which is never later. Rows another process holds are left for the next
 * sweep. Returns how many.
 */
export async function expireTasks(store: Store): Promise<number> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    // Not `clock_timestamp()`, which no index can be searched by.
    const { rows } = await sql<{ id: string }>`with due as materialized (
        select id from tasks where state = 'active' and expires_at <= now()
        order by expires_at limit ${TASK_EXPIRY_BATCH_MAX} for update skip locked
      )
      update tasks t set state = 'expired', ended_at = t.expires_at from due where t.id = due.id
      returning t.id`.execute(tx);
    const ids = rows.map(({ id }) => id).sort();
    if (ids.length === 0) return 0;
    const delegations = await tx.selectFrom('delegations').select('id').where('task_id', 'in', ids).execute();
    await withdrawBelow(store, tx, afterCommit, {
      delegationIds: delegations.map(({ id }) => id),
      reason: EXPIRED_REASON,
    });
    await appendAll(
      store,
      tx,
      afterCommit,
      ids.map((task) => ({ kind: 'task.ended' as const, ids: { task, how: 'expired', ...actingIds(BY_SERVER) } })),
    );
    await enqueueOffboarding(store, tx, afterCommit, { kind: 'task.ended', subjectIds: ids });
    return ids.length;
  });
}

/** Sweeps until stopped. Ends hold without it: every reader compares the time. */
export function startTaskExpiry(store: Store): Sweep {
  return startSweep(
    TASK_EXPIRY_SWEEP_MS,
    async (isStopped) => {
      while (!isStopped() && (await expireTasks(store)) === TASK_EXPIRY_BATCH_MAX);
    },
    (error) =>
      store.log.error({ err: error }, 'marking tasks that ran out failed; their ends still hold, the sweep goes on'),
  );
}
