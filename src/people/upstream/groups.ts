import { sql } from 'kysely';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { insertGroup, parseGroupName } from '../directory/groups.ts';
import { changeMembers } from '../directory/members.ts';

const BY = { kind: 'server', id: 'server' } as const;

interface NamedGroup {
  readonly id: string;
  readonly name: string;
  /** Whether the provider made it, and so says who is in it. */
  readonly isOwn: boolean;
}

/**
 * Puts the person, who is locked, into the groups that the provider names, and out of its others. A group belongs to the
 * provider it came from: one that the directory, or another provider, manages is left as it is.
 */
export async function followGroups(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  person: { readonly id: string; readonly issuer: string; readonly groups: readonly string[] },
): Promise<void> {
  const { issuer } = person;
  // In one order, so that two people who bring the same new groups do not wait for each other.
  const names = [...new Set(person.groups)].flatMap((text) => nameOf(text)).sort();
  const before = await findNamed(tx, issuer, names);
  const missing = names.filter((name) => !before.some((group) => isSame(group.name, name)));
  for (const displayName of missing) {
    await insertGroup(store, tx, afterCommit, { displayName, externalId: issuer, source: 'oidc', by: BY });
  }
  // Read again: of those that were missing, another sign-in may have made some at the same moment.
  const named = missing.length === 0 ? before : await findNamed(tx, issuer, names);
  const wanted = new Set(named.filter((group) => group.isOwn).map((group) => group.id));
  const other = named.find((group) => !group.isOwn);
  if (other !== undefined) {
    const words = 'a provider named a group that something else manages; its members stay as they are';
    store.log.warn({ group: other.id, issuer }, words);
  }
  const current = new Set(await groupsFrom(tx, issuer, person.id));
  for (const groupId of wanted) {
    if (current.has(groupId)) continue;
    await changeMembers(store, tx, afterCommit, { groupId, added: [person.id], removed: [], by: BY });
  }
  for (const groupId of current) {
    if (wanted.has(groupId)) continue;
    await changeMembers(store, tx, afterCommit, { groupId, added: [], removed: [person.id], by: BY });
  }
}

function nameOf(text: string): string[] {
  const name = parseGroupName(text);
  return name.ok ? [name.value] : [];
}

function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

async function findNamed(tx: Tx, issuer: string, names: readonly string[]): Promise<readonly NamedGroup[]> {
  const { rows } = await sql<NamedGroup>`select g.id, g.display_name as name,
      g.source = 'oidc' and g.external_id = ${issuer} as "isOwn"
    from groups g where g.deleted_at is null
      and lower(g.display_name) = any(select lower(x) from unnest(${names}::text[]) as x)`.execute(tx);
  return rows;
}

async function groupsFrom(tx: Tx, issuer: string, personId: string): Promise<string[]> {
  const rows = await tx
    .selectFrom('group_members')
    .innerJoin('groups', 'groups.id', 'group_members.group_id')
    .select('groups.id')
    .where('person_id', '=', personId)
    .where('groups.source', '=', 'oidc')
    .where('groups.external_id', '=', issuer)
    .execute();
  return rows.map((row) => row.id);
}
