import { sql } from 'kysely';
import { sealOutcome } from '../approvals/sealed_action.ts';
import { wakeStepUp } from '../approvals/status.ts';
import { append } from '../events/append.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { OUTCOME_BYTES_MAX } from './limits.ts';

export interface RecordOutcome {
  readonly redemptionId: string;
  readonly toolServerId: string;
  readonly attemptId: string;
  readonly guardInstance: string;
  readonly outcome: 'done' | 'failed' | 'unknown';
  readonly result: JsonObject | null;
}

/**
 * Records what became of a redeemed call. Only the attempt that redeemed may report, and the first report stands: an
 * outcome that is known is never overwritten; `recorded` says whether the one that stands is this. An unknown outcome
 * refunds nothing.
 */
export async function recordOutcome(
  store: Store,
  input: RecordOutcome,
): Promise<Result<{ recorded: boolean }, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const row = await tx
      .selectFrom('redemptions as r')
      .innerJoin('step_ups as s', 's.id', 'r.step_up_id')
      .select(['r.id', 'r.outcome', 'r.outcome_at', 's.id as step_up_id', 's.data_key_wrapped'])
      .where('r.id', '=', input.redemptionId)
      .where('r.attempt_id', '=', input.attemptId)
      .where('r.guard_instance', '=', input.guardInstance)
      .where('s.tool_server_id', '=', input.toolServerId)
      .forUpdate('r')
      .executeTakeFirst();
    if (row === undefined) return refused(refusal('not_found', 'There is no such redemption of this attempt.'));
    if (row.outcome_at !== null) {
      await assureDurable(tx);
      return accepted({ recorded: row.outcome === input.outcome });
    }
    const text = input.result === null ? null : JSON.stringify(input.result);
    const isKept = text !== null && row.data_key_wrapped !== null && Buffer.byteLength(text) <= OUTCOME_BYTES_MAX;
    await tx
      .updateTable('redemptions')
      .set({
        outcome: input.outcome,
        outcome_at: sql<Date>`clock_timestamp()`,
        outcome_sealed: isKept ? sealOutcome(store, row.data_key_wrapped!, input.result!) : null,
      })
      .where('id', '=', row.id)
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'outcome.recorded',
      ids: { redemption: row.id, step_up: row.step_up_id, outcome: input.outcome },
    });
    afterCommit(() => wakeStepUp(store, row.step_up_id));
    return accepted({ recorded: true });
  });
}
