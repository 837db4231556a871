import { sql } from 'kysely';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type BudgetLine, budgetInWords } from '../model/budget.ts';
import type { Store, Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

export interface UsedBudget extends BudgetLine {
  readonly used: string;
}

/** Counting starts at nothing. The lines of a task never change after it started. */
export async function insertBudget(tx: Tx, taskId: string, lines: readonly BudgetLine[]): Promise<void> {
  if (lines.length === 0) return;
  await tx
    .insertInto('task_budgets')
    .values(lines.map((line) => ({ task_id: taskId, ...line })))
    .execute();
}

/** What a task may use up, and has used, with what its sub-tasks used. */
export async function readBudget(db: Store['db'] | Tx, taskId: string): Promise<UsedBudget[]> {
  return db
    .selectFrom('task_budgets')
    .select(['what', 'maximum', 'used'])
    .where('task_id', '=', taskId)
    .orderBy('what')
    .execute();
}

/**
 * Whether each line asks for no more than every task above has left. Nothing is set aside: what a sub-task uses is counted in
 * all of them, so together they can never use more than the least of them allows.
 */
export async function checkWithinBudget(
  tx: Tx,
  taskIds: readonly string[],
  lines: readonly BudgetLine[],
): Promise<Result<true, Refusal>> {
  if (lines.length === 0) return accepted(true);
  const { rows } = await sql<{ what: string; rest: string }>`select b.what, trim_scale(b.maximum - b.used)::text as rest
    from task_budgets b
    join unnest(${lines.map(({ what }) => what)}::text[], ${lines.map(({ maximum }) => maximum)}::numeric[])
      as l (what, maximum) on l.what = b.what
    where b.task_id = any(${taskIds}::text[]) and l.maximum > b.maximum - b.used
    order by b.maximum - b.used limit 1`.execute(tx);
  const [beyond] = rows;
  if (beyond === undefined) return accepted(true);
  const words = `A sub-task may have a part of what is left: ${beyond.rest} of ${budgetInWords(beyond.what)}.`;
  return refused(refusal('outside_delegation', words, { budget: beyond.what, left: beyond.rest }));
}
