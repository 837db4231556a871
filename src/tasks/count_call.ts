import { sql } from 'kysely';
import { ALL_FIT, budgetParts, spendPart } from '../approvals/budget.ts';
import type { NewEvent } from '../events/event_body.ts';
import { eventRow } from '../events/event_row.ts';
import { ringSealer } from '../events/sealer_bell.ts';
import type { Charge } from '../model/budget.ts';
import type { Store } from '../store/store.ts';
import type { CallChain } from './principal.ts';

/**
 * Counts a call that policy permits in the budgets of its task and of every task above it, and records it: one statement,
 * so both or neither (invariant 8). Answers null, or what does not fit, and then nothing was written.
 */
export async function countCall(
  store: Store,
  { lineage, readAt }: CallChain,
  charges: readonly Charge[],
  event: Omit<NewEvent, 'personal'>,
): Promise<string | null> {
  const row = eventRow(store, event, readAt);
  const { rows } = await sql<{ lacking: string | null }>`with ${budgetParts(lineage.task_ids, charges)},
      ${spendPart(ALL_FIT)},
      recorded as (
        insert into events (kind, body, body_digest, mac, at)
        select ${row.kind}, ${row.body}, ${row.body_digest}, ${row.mac}::bytea, ${row.at}::timestamptz where ${ALL_FIT}
      )
    select (select min(what) from budget where not fits) as lacking`.execute(store.db);
  const { lacking } = rows[0]!;
  if (lacking === null) ringSealer(store);
  return lacking;
}
