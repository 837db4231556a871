import { type Selectable, sql } from 'kysely';
import type { BudgetLine } from '../../model/budget.ts';
import type { TaskTemplatesTable } from '../../store/postgres/tables.ts';
import type { Store } from '../../store/store.ts';
import { TEMPLATES_LISTED_MAX } from '../limits.ts';

/** Approved in advance: its agent starts such a task again and again. What it says never changes. */
export interface Template extends Omit<Selectable<TaskTemplatesTable>, 'budget'> {
  readonly budget: readonly BudgetLine[];
  /** Approved, and before its end by the clock of PostgreSQL. */
  readonly isInForce: boolean;
}

type Row = Selectable<TaskTemplatesTable> & { readonly isInForce: boolean };

const isInForce = sql<boolean>`state = 'active' and coalesce(ends_at > clock_timestamp(), true)`.as('isInForce');

export async function findTemplate({ db }: Pick<Store, 'db'>, id: string): Promise<Template | undefined> {
  const row = await db
    .selectFrom('task_templates')
    .selectAll()
    .select(isInForce)
    .where('id', '=', id)
    .executeTakeFirst();
  return row === undefined ? undefined : template(row);
}

/** Of one agent, by its id or by its name, among those that are not retired. */
export async function findTemplateOf(
  { db }: Pick<Store, 'db'>,
  agentId: string,
  idOrName: string,
): Promise<Template | undefined> {
  const row = await db
    .selectFrom('task_templates')
    .selectAll()
    .select(isInForce)
    .where('agent_id', '=', agentId)
    .where((where) =>
      where.or([
        where('id', '=', idOrName),
        where.and([where('name', '=', idOrName), where('state', '<>', 'retired')]),
      ]),
    )
    .executeTakeFirst();
  return row === undefined ? undefined : template(row);
}

/** Those that wait first, then those in force, newest first. */
export async function listTemplates(
  { db }: Pick<Store, 'db'>,
  { agentId }: { readonly agentId: string | null },
): Promise<Template[]> {
  const all = db.selectFrom('task_templates').selectAll().select(isInForce);
  const rows = await (agentId === null ? all : all.where('agent_id', '=', agentId))
    .orderBy(sql`array_position(array['pending', 'active', 'retired'], state)`)
    .orderBy('created_at', 'desc')
    .limit(TEMPLATES_LISTED_MAX)
    .execute();
  return rows.map(template);
}

function template(row: Row): Template {
  return { ...row, budget: (row.budget ?? []) as unknown as readonly BudgetLine[] };
}
