import { type Selectable, sql } from 'kysely';
import type { TasksTable } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { readBudget, type UsedBudget } from './budget.ts';

export interface DescribedTask extends Selectable<TasksTable> {
  /** `expired` as soon as its time is over, also before the sweep says so. */
  readonly stateNow: TasksTable['state'];
  readonly delegationId: string | null;
  readonly budget: readonly UsedBudget[];
  /** Resource identifiers of its tool servers, by their ids. */
  readonly resources: ReadonlyMap<string, string>;
}

/** A task and what it has used; for an agent only one that it acts in, or that was begun below what it does. */
export async function describeTask(
  { db }: Pick<Store, 'db'>,
  input: { readonly taskId: string; readonly agentId: string | null },
): Promise<DescribedTask | undefined> {
  const row = await db
    .selectFrom('tasks as t')
    .selectAll('t')
    .select([
      sql<TasksTable['state']>`case when t.state = 'active' and t.expires_at <= clock_timestamp() then 'expired'
        else t.state end`.as('stateNow'),
      sql<string | null>`(select d.id from delegations d where d.task_id = t.id and d.kind = 'root')`.as(
        'delegationId',
      ),
    ])
    .where('t.id', '=', input.taskId)
    .where(
      sql<boolean>`(${input.agentId}::text is null or t.agent_id = ${input.agentId} or exists (select 1 from delegations d
        where d.task_id = t.id and ${input.agentId} = any(d.agent_chain)))`,
    )
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return { ...row, budget: await readBudget(db, row.id), resources: await resourcesOf({ db }, Object.keys(row.tools)) };
}

/** Resource identifiers of tool servers, by their ids. */
export async function resourcesOf(
  { db }: Pick<Store, 'db'>,
  toolServerIds: readonly string[],
): Promise<Map<string, string>> {
  if (toolServerIds.length === 0) return new Map();
  const servers = await db
    .selectFrom('tool_servers')
    .select(['id', 'resource'])
    .where('id', 'in', [...new Set(toolServerIds)])
    .execute();
  return new Map(servers.map(({ id, resource }) => [id, resource]));
}
