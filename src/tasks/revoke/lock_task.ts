import { type Selectable, sql } from 'kysely';
import { type Lineage, loadLineage } from '../../approvals/lineage.ts';
import type { TasksTable } from '../../store/postgres/tables.ts';
import type { Tx } from '../../store/store.ts';

export type TaskRow = Selectable<TasksTable>;

/**
 * Locks a task FOR UPDATE and what it descends from FOR SHARE, in the order of `lockLineage`, so that of this and a revocation
 * further up one waits for the other before either goes down. Whether anything of it is alive is not asked.
 */
export async function lockTask(tx: Tx, taskId: string): Promise<TaskRow | undefined> {
  const root = await tx
    .selectFrom('delegations')
    .select('id')
    .where('task_id', '=', taskId)
    .where('kind', '=', 'root')
    .executeTakeFirst();
  const lineage = root === undefined ? undefined : await loadLineage(tx, root.id);
  if (lineage !== undefined) await lockAbove(tx, lineage, taskId);
  return tx.selectFrom('tasks').selectAll().where('id', '=', taskId).forUpdate().executeTakeFirst();
}

async function lockAbove(tx: Tx, lineage: Lineage, taskId: string): Promise<void> {
  const above = lineage.task_ids.filter((id) => id !== taskId);
  await sql`with person as materialized (
      select id from people where id = ${lineage.requester_id} for share
    ), agent as materialized (
      select id from agents where id = any(${lineage.agent_ids}::text[]) and (select count(*) from person) > 0
      order by id for share
    ), task as materialized (
      select id from tasks where id = any(${above}::text[]) and (select count(*) from agent) > 0
      order by array_position(${above}::text[], id) for share
    )
    select count(*) from task`.execute(tx);
}
