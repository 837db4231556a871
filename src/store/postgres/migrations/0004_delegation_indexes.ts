import { type Kysely, sql } from 'kysely';

/** What ends finds everything that hangs on it: by agent, task or delegation anywhere in the chain, or by who decided. */
const INDEXES = {
  delegations_of_agent: 'delegations (agent_id)',
  delegations_by_agent_chain: 'delegations using gin (agent_chain)',
  delegations_by_task_chain: 'delegations using gin (task_chain)',
  delegations_by_delegation_chain: 'delegations using gin (delegation_chain)',
  decisions_of_person: 'decisions (person_id)',
};

export const isConcurrent = true;

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const [name, columns] of Object.entries(INDEXES)) {
    await sql.raw(`drop index concurrently if exists ${name}`).execute(db);
    await sql.raw(`create index concurrently ${name} on ${columns}`).execute(db);
  }
}
