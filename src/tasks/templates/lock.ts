import { sql } from 'kysely';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Tx } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';

/** Holds a template as it is while a task is started from it; whoever retires it comes wholly before or after. */
export async function lockTemplate(tx: Tx, templateId: string): Promise<Result<true, Refusal>> {
  const row = await tx
    .selectFrom('task_templates')
    .select(sql<boolean>`state = 'active' and coalesce(ends_at > clock_timestamp(), true)`.as('is_active'))
    .where('id', '=', templateId)
    .forShare()
    .executeTakeFirst();
  return row?.is_active === true ? accepted(true) : refused(notActive());
}

export function notActive(): Refusal {
  return refusal('not_found', 'This agent has no such template that is approved and in force.');
}
