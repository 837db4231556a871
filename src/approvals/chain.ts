import type { Chain, Voter } from '../model/eligibility.ts';
import type { Tx } from '../store/store.ts';
import { VOTERS_MAX } from './limits.ts';
import { chainOf, type Lineage, loadLineage } from './lineage.ts';

/** Who acts in the chain of a step-up, from stored records, never from a token. */
export async function loadChain(
  db: Tx,
  ids: { readonly delegation_id: string; readonly tool_server_id: string },
): Promise<Chain> {
  return (await loadChainAndLineage(db, ids)).chain;
}

export async function loadChainAndLineage(
  db: Tx,
  ids: { readonly delegation_id: string; readonly tool_server_id: string },
): Promise<{ readonly chain: Chain; readonly lineage: Lineage }> {
  const lineage = await loadLineage(db, ids.delegation_id);
  if (lineage === undefined) throw new Error(`There is no delegation ${ids.delegation_id}.`);
  const { owner_id } = await db
    .selectFrom('tool_servers')
    .select('owner_id')
    .where('id', '=', ids.tool_server_id)
    .executeTakeFirstOrThrow();
  return { lineage, chain: chainOf(lineage, owner_id) };
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
