import type { Chain, Voter } from '../model/eligibility.ts';
import type { Tx } from '../store/store.ts';
import { VOTERS_MAX } from './limits.ts';

/** Who acts in the chain of a step-up, from stored records, never from a token. */
export async function loadChain(
  db: Tx,
  ids: { readonly requester_id: string; readonly agent_id: string; readonly tool_server_id: string },
): Promise<Chain> {
  const row = await db
    .selectFrom('agents')
    .innerJoin('tool_servers', (join) => join.on('tool_servers.id', '=', ids.tool_server_id))
    .select(['agents.owner_id as agentOwnerId', 'tool_servers.owner_id as toolServerOwnerId'])
    .where('agents.id', '=', ids.agent_id)
    .executeTakeFirstOrThrow();
  return { requesterId: ids.requester_id, ...row };
}

export async function loadVoter(db: Tx, personId: string): Promise<Voter | undefined> {
  const row = await db
    .selectFrom('people')
    .select(['id', 'state', 'is_administrator'])
    .where('id', '=', personId)
    .executeTakeFirst();
  return row === undefined
    ? undefined
    : { id: row.id, isActive: row.state === 'active', isAdministrator: row.is_administrator };
}

export async function loadActiveVoters(db: Tx): Promise<Voter[]> {
  const rows = await db
    .selectFrom('people')
    .select(['id', 'is_administrator'])
    .where('state', '=', 'active')
    .limit(VOTERS_MAX)
    .execute();
  return rows.map((row) => ({ id: row.id, isActive: true, isAdministrator: row.is_administrator }));
}
