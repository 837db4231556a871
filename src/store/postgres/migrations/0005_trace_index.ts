import { type Kysely, sql } from 'kysely';

/**
 * The trace of a task finds its events by the task they name, or, where they name none, by their step-up. The expression is
 * written the same way in src/tasks/trace/read_events.ts: by another one the index is not used.
 */
export const isConcurrent = true;

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`drop index concurrently if exists events_of_task`.execute(db);
  await sql`create index concurrently events_of_task on events
    ((coalesce(body::jsonb -> 'ids' ->> 'task', body::jsonb -> 'ids' ->> 'step_up')), id)
    where coalesce(body::jsonb -> 'ids' ->> 'task', body::jsonb -> 'ids' ->> 'step_up') is not null`.execute(db);
}
