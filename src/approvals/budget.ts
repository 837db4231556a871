import { type RawBuilder, sql } from 'kysely';
import { budgetInWords, type Charge } from '../model/budget.ts';
import type { Store, Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/**
 * Parts of a statement, for who counts together with something else: `budget` holds a row, locked, for every budget of these
 * tasks that counts one of the charges, and whether it `fits`; what a part reads is the newest version, also after a wait.
 * Every statement locks in the same order, and takes nothing else after.
 */
export function budgetParts(
  taskIds: readonly string[],
  charges: readonly Charge[],
  when: RawBuilder<unknown> = sql`true`,
): RawBuilder<unknown> {
  return sql`charge as materialized (
      select * from unnest(${charges.map(({ what }) => what)}::text[], ${charges.map(({ amount }) => amount)}::numeric[])
        as c (what, amount)
    ), budget as materialized (
      select b.task_id, b.what, c.amount, b.used + c.amount <= b.maximum as fits
      from task_budgets b join charge c on c.what = b.what
      where b.task_id = any(${taskIds}::text[]) and ${when}
      order by b.task_id, b.what for update of b
    )`;
}

/** The part that counts, in all of the rows that were locked. */
export function spendPart(when: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`spent as (
      update task_budgets b set used = b.used + x.amount from budget x
      where b.task_id = x.task_id and b.what = x.what and ${when}
      returning b.what
    )`;
}

export const ALL_FIT = sql`not exists (select 1 from budget where not fits)`;

/**
 * Counts the charges in the budgets of all these tasks, or in none: null, or what does not fit. `mustFit` is looked at as
 * well and not counted. One statement.
 */
export async function spend(
  db: Store['db'] | Tx,
  taskIds: readonly string[],
  charges: readonly Charge[],
  mustFit: readonly Charge[] = [],
): Promise<string | null> {
  const counted = charges.map(({ what }) => what);
  const { rows } = await sql<{ lacking: string | null }>`with ${budgetParts(taskIds, [...charges, ...mustFit])},
      ${spendPart(sql`${ALL_FIT} and b.what = any(${counted}::text[])`)}
    select (select min(what) from budget where not fits) as lacking`.execute(db);
  return rows[0]!.lacking;
}

/** What of the charges does not fit now; nothing is counted. */
export async function lackingBudget(
  db: Store['db'] | Tx,
  taskIds: readonly string[],
  charges: readonly Charge[],
): Promise<string | null> {
  return spend(db, taskIds, [], charges);
}

export function budgetUsedUp(what: string): Refusal {
  return refusal('budget_used_up', `The budget of this task over ${budgetInWords(what)} does not allow it.`, {
    budget: what,
  });
}
