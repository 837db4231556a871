import type { Logger } from '../../kernel/logger.ts';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { findGroupByName, insertGroup, parseGroupName } from '../directory/groups.ts';
import { changeMembers } from '../directory/members.ts';

/**
 * Puts the person into the groups that the provider names, and out of its others, under `lockDirectory`. A group belongs to
 * the provider it came from: one that the directory, or another provider, manages is left as it is.
 */
export async function followGroups(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  person: { readonly id: string; readonly issuer: string; readonly groups: readonly string[] },
): Promise<void> {
  const by = { kind: 'server', id: 'server' } as const;
  const wanted = new Set<string>();
  for (const text of person.groups) {
    const name = parseGroupName(text);
    if (!name.ok) continue;
    const known = await findGroupByName(tx, name.value);
    if (known === undefined) {
      const group = { displayName: name.value, externalId: person.issuer, source: 'oidc', by } as const;
      wanted.add(await insertGroup(store, tx, afterCommit, group));
    } else if (known.source === 'oidc' && known.external_id === person.issuer) wanted.add(known.id);
    else warnOfOther(store.log, known.id, person.issuer);
  }
  const now = await tx
    .selectFrom('group_members')
    .innerJoin('groups', 'groups.id', 'group_members.group_id')
    .select('groups.id')
    .where('person_id', '=', person.id)
    .where('groups.source', '=', 'oidc')
    .where('groups.external_id', '=', person.issuer)
    .execute();
  const current = new Set(now.map((row) => row.id));
  for (const groupId of wanted) {
    if (current.has(groupId)) continue;
    await changeMembers(store, tx, afterCommit, { groupId, added: [person.id], removed: [], by });
  }
  for (const groupId of current) {
    if (wanted.has(groupId)) continue;
    await changeMembers(store, tx, afterCommit, { groupId, added: [], removed: [person.id], by });
  }
}

function warnOfOther(log: Logger, group: string, issuer: string): void {
  log.warn({ group, issuer }, 'a provider named a group that something else manages; its members stay as they are');
}
