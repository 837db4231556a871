import { type Kysely, sql } from 'kysely';
import type { Tables } from '../../../src/store/postgres/tables.ts';
import type { Place } from './chains.ts';

/** Many descendants of a task at once: sub-tasks of its agent, and hops from the task to another agent. */
export async function addDescendants(
  db: Kysely<Tables>,
  added: { readonly root: Place; readonly agentId: string; readonly subTasks: number; readonly hops: number },
): Promise<void> {
  const { root, agentId, subTasks, hops } = added;
  await sql`insert into tasks (id, root_id, parent_id, requester_id, agent_id, client_id, purpose, purpose_code, tools, state,
      origin, expires_at)
    select id || '_sub_' || n, root_id, id, requester_id, agent_id, client_id, purpose, purpose_code, tools, 'active',
      'sub_task', expires_at
    from tasks, generate_series(1, ${subTasks}::int) n where id = ${root.taskId}`.execute(db);
  await sql`insert into delegations (id, task_id, parent_id, agent_id, depth, kind, agent_chain, task_chain, delegation_chain)
    select id || '_sub_' || n, task_id || '_sub_' || n, id, agent_id, depth, 'root', agent_chain,
      task_chain || (task_id || '_sub_' || n), delegation_chain || (id || '_sub_' || n)
    from delegations, generate_series(1, ${subTasks}::int) n where id = ${root.delegationId}`.execute(db);
  await sql`insert into delegations (id, task_id, parent_id, agent_id, depth, kind, agent_chain, task_chain, delegation_chain)
    select id || '_hop_' || n, task_id, id, ${agentId}::text, depth + 1, 'exchange', agent_chain || ${agentId}::text,
      task_chain, delegation_chain || (id || '_hop_' || n)
    from delegations, generate_series(1, ${hops}::int) n where id = ${root.delegationId}`.execute(db);
}
