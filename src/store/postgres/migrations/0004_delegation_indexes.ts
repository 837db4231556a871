import { type Kysely, sql } from 'kysely';

/** What ends finds everything that hangs on it: by agent, task or delegation anywhere in the chain. */
const INDEXES = {
  delegations_of_agent: '(agent_id)',
  delegations_by_agent_chain: 'using gin (agent_chain)',
  delegations_by_task_chain: 'using gin (task_chain)',
  delegations_by_delegation_chain: 'using gin (delegation_chain)',
};

export const isConcurrent = true;

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const [name, columns] of Object.entries(INDEXES)) {
    await sql.raw(`drop index concurrently if exists ${name}`).execute(db);
    await sql.raw(`create index concurrently ${name} on delegations ${columns}`).execute(db);
  }
}
