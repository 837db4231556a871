import { type Selectable, sql } from 'kysely';
import type { TasksTable } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { TASKS_LISTED_MAX } from './limits.ts';

/** `isRunning` is whether its tokens work: active and before its end by the database's clock. */
export type Task = Selectable<TasksTable> & { readonly isRunning: boolean };

const isRunning = sql<boolean>`tasks.state = 'active' and tasks.expires_at > clock_timestamp()`.as('isRunning');

export async function findTask(store: Store, id: string): Promise<Task | undefined> {
  return store.db.selectFrom('tasks').selectAll().select(isRunning).where('id', '=', id).executeTakeFirst();
}

/**
 * The tasks a person has a part in, newest first; an administrator sees all. Running ones come before the others, so that
 * none is hidden behind many that ended.
 */
export async function listTasks(
  store: Store,
  input: { readonly personId: string },
): Promise<(Task & { readonly agentName: string; readonly requesterName: string })[]> {
  return store.db
    .selectFrom('tasks')
    .innerJoin('agents', 'agents.id', 'tasks.agent_id')
    .innerJoin('people as requester', 'requester.id', 'tasks.requester_id')
    .innerJoin('people as viewer', (join) => join.on('viewer.id', '=', input.personId))
    .selectAll('tasks')
    .select(isRunning)
    .select(['agents.name as agentName', 'requester.display_name as requesterName'])
    .where('viewer.state', '=', 'active')
    .where((or) =>
      or.or([
        or('viewer.is_administrator', '=', true),
        or('tasks.requester_id', '=', input.personId),
        or('agents.owner_id', '=', input.personId),
      ]),
    )
    .orderBy('isRunning', 'desc')
    .orderBy('tasks.created_at', 'desc')
    .limit(TASKS_LISTED_MAX)
    .execute();
}
