import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { type Sweep, startSweep } from '../kernel/sweep.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { EXPIRY_BATCH_MAX, EXPIRY_SWEEP_MS } from './limits.ts';
import { enqueue } from './outbox.ts';
import { wakeStepUp } from './status.ts';

const EXPIRED_REASON = 'Nobody decided in time, which counts as a denial.';

/** Ends the undecided step-ups of one binding whose time is over, so that a new one can be registered. */
export async function expireBinding(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  bindingDigest: string,
): Promise<void> {
  const rows = await tx
    .updateTable('step_ups')
    .set({ state: 'expired', reason: EXPIRED_REASON, decided_at: sql<Date>`clock_timestamp()` })
    .where('binding_digest', '=', bindingDigest)
    .where('state', 'in', ['registered', 'open'])
    .where('expires_at', '<=', sql<Date>`clock_timestamp()`)
    .returning('id')
    .execute();
  for (const { id } of rows) await recordExpiry(store, tx, afterCommit, id);
}

/** Ends all step-ups whose time is over. Rows another process holds are left to it. Returns how many. */
export async function expireDue(store: Store): Promise<number> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const due = await tx
      .selectFrom('step_ups')
      .select('id')
      .where('state', 'in', ['registered', 'open'])
      .where('expires_at', '<=', sql<Date>`clock_timestamp()`)
      .orderBy('expires_at')
      .limit(EXPIRY_BATCH_MAX)
      .forUpdate()
      .skipLocked()
      .execute();
    for (const { id } of due) {
      await tx
        .updateTable('step_ups')
        .set({ state: 'expired', reason: EXPIRED_REASON, decided_at: sql<Date>`clock_timestamp()` })
        .where('id', '=', id)
        .execute();
      await recordExpiry(store, tx, afterCommit, id);
    }
    return due.length;
  });
}

async function recordExpiry(store: Store, tx: Tx, afterCommit: AfterCommit, stepUpId: string): Promise<void> {
  await append(store, tx, afterCommit, { kind: 'step_up.expired', ids: { step_up: stepUpId } });
  await enqueue(store, tx, afterCommit, { kind: 'step_up.decided', stepUpId });
  afterCommit(() => wakeStepUp(store, stepUpId));
}

/** Sweeps until stopped. Deadlines hold without it (every reader checks the time); it tells those who wait. */
export function startExpiry(store: Store): Sweep {
  return startSweep(
    EXPIRY_SWEEP_MS,
    () => expireDue(store),
    (error) => store.log.error({ err: error }, 'expiring step-ups failed; deadlines still hold, the sweep goes on'),
  );
}
