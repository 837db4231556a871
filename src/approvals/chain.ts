import { sql } from 'kysely';
import type { Chain, Voter } from '../model/eligibility.ts';
import type { Gate } from '../model/requirements.ts';
import type { Tx } from '../store/store.ts';
import { groupsOf } from './groups.ts';
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
    .select(['id', 'state', 'is_administrator', groupsOf(sql`people.id`).as('groups')])
    .where('id', '=', personId)
    .executeTakeFirst();
  return row === undefined
    ? undefined
    : { id: row.id, isActive: row.state === 'active', isAdministrator: row.is_administrator, groups: row.groups };
}

/** The active people whom these gates may mean: a directory may know many more. */
export async function loadActiveVoters(db: Tx, gates: readonly Gate[], chain: Chain): Promise<Voter[]> {
  const named = gates.flatMap((gate) => gate.approvers);
  const ids = [chain.requesterId, chain.toolServerOwnerId, ...after('person:', named)];
  const groups = after('group:', named);
  const { rows } = await sql<{ id: string; is_administrator: boolean; groups: readonly string[] }>`
    with member as (
      select m.person_id, array_agg(x.name) as names from groups g join group_members m on m.group_id = g.id
      cross join unnest(array[g.id, g.display_name]) as x (name)
      where g.deleted_at is null and x.name = any(${groups}::text[]) group by m.person_id
    )
    select p.id, p.is_administrator, coalesce(member.names, '{}') as groups
    from people p left join member on member.person_id = p.id
    where p.state = 'active'
      and (p.is_administrator or p.id = any(${ids.filter((id) => id !== null)}::text[]) or member.names is not null)
    limit ${VOTERS_MAX}`.execute(db);
  return rows.map((row) => ({ id: row.id, isActive: true, isAdministrator: row.is_administrator, groups: row.groups }));
}

function after(prefix: string, names: readonly string[]): string[] {
  return names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
}
