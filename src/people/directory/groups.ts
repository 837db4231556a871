import { type Selectable, sql } from 'kysely';
import { append } from '../../events/append.ts';
import { isId, newId } from '../../kernel/ids.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import type { GroupsTable } from '../../store/postgres/tables.ts';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { transactRepeatably } from '../../store/transact.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { GROUP_NAME_CHARACTERS_MAX } from '../limits.ts';
import { parseVisibleName } from '../visible_name.ts';
import { parseExternalId } from './directory_user.ts';
import { refusingDuplicates } from './duplicates.ts';
import { lockKeys } from './lock.ts';
import { changeMembers, checkMembers, membersOf, touchPeople } from './members.ts';

/** A group as its directory describes it. */
export interface DirectoryGroup {
  readonly displayName: string;
  readonly externalId: string | null;
  readonly memberIds: readonly string[];
}

const TAKEN = refusal('conflict', 'There is a group of this name already.');
const NO_GROUP = refusal('not_found', 'There is no such group.');

export async function createGroup(
  store: Store,
  input: DirectoryGroup & { readonly by: Acting },
): Promise<Result<{ id: string }, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const group = await checkGroup(tx, input, null);
    if (!group.ok) return group;
    const id = await insertGroup(store, tx, afterCommit, { ...group.value, source: 'scim', by: input.by });
    if (id === undefined) return refused(TAKEN);
    await changeMembers(store, tx, afterCommit, {
      groupId: id,
      added: group.value.memberIds,
      removed: [],
      by: input.by,
    });
    return accepted({ id });
  });
}

/** Changes the group to what `change` makes of it, read under the lock: of parallel changes none is lost. */
export async function changeGroup(
  store: Store,
  input: { readonly id: string; readonly by: Acting },
  change: (now: DirectoryGroup) => Result<DirectoryGroup, Refusal>,
): Promise<Result<{ id: string }, Refusal>> {
  const { id, by } = input;
  const work = () =>
    transactRepeatably(store, async (tx, afterCommit) => {
      await lockKeys(tx, [`group:${id}`]);
      const row = await findGroup(tx, id);
      if (row === undefined) return refused(NO_GROUP);
      const before = await membersOf(tx, id);
      const wanted = change({ displayName: row.display_name, externalId: row.external_id, memberIds: before });
      const group = wanted.ok ? await checkGroup(tx, wanted.value, id) : wanted;
      if (!group.ok) return group;
      const { displayName, externalId, memberIds } = group.value;
      const isRenamed = displayName !== row.display_name;
      if (isRenamed || externalId !== row.external_id) {
        // A gate may name the group: whoever is in it is somebody else to it now.
        if (isRenamed) await touchPeople(tx, before);
        await updateGroup(store, tx, afterCommit, { id, displayName, externalId, by });
      }
      const [old, all] = [new Set(before), new Set(memberIds)];
      const added = [...all].filter((member) => !old.has(member));
      const removed = before.filter((member) => !all.has(member));
      await changeMembers(store, tx, afterCommit, { groupId: id, added, removed, by });
      return accepted({ id });
    });
  return refusingDuplicates('groups_by_name', TAKEN, work);
}

/** Its members are in it no more; decisions that were made as its members do not count from now on. */
export async function deleteGroup(
  store: Store,
  input: { readonly id: string; readonly by: Acting },
): Promise<Result<null, Refusal>> {
  const { id, by } = input;
  return transactRepeatably(store, async (tx, afterCommit) => {
    await lockKeys(tx, [`group:${id}`]);
    if ((await findGroup(tx, id)) === undefined) return refused(NO_GROUP);
    await touchPeople(tx, await membersOf(tx, id));
    await tx
      .updateTable('groups')
      .set({ deleted_at: sql<Date>`clock_timestamp()`, updated_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', id)
      .execute();
    await append(store, tx, afterCommit, { kind: 'group.deleted', ids: { group: id, ...actingIds(by) } });
    return accepted(null);
  });
}

/** Makes the group's row, without members; undefined if there is a group of this name by now. */
export async function insertGroup(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  group: Pick<DirectoryGroup, 'displayName' | 'externalId'> & { source: 'oidc' | 'scim'; by: Acting },
): Promise<string | undefined> {
  const id = newId('grp');
  const made = await tx
    .insertInto('groups')
    .values({ id, display_name: group.displayName, external_id: group.externalId, source: group.source })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  if (made === undefined) return undefined;
  await append(store, tx, afterCommit, {
    kind: 'group.changed',
    ids: { group: id, made: 'yes', source: group.source, ...actingIds(group.by) },
    personal: { display_name: group.displayName },
  });
  return id;
}

/** The live group of this name, whatever the case of its letters. */
async function findGroupByName(tx: Tx, name: string): Promise<Selectable<GroupsTable> | undefined> {
  return tx
    .selectFrom('groups')
    .selectAll()
    .where(sql<boolean>`lower(display_name) = lower(${name})`)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
}

/** Policies name groups by name or id, so no name may look like an id. */
export function parseGroupName(text: string): Result<string, Refusal> {
  const name = parseVisibleName(text, GROUP_NAME_CHARACTERS_MAX);
  if (name.ok && isId('grp', name.value)) {
    return refused(refusal('request_invalid', 'A group cannot have a name that looks like the id of a group.'));
  }
  return name;
}

async function findGroup(tx: Tx, id: string): Promise<Selectable<GroupsTable> | undefined> {
  return tx
    .selectFrom('groups')
    .selectAll()
    .where('id', '=', id)
    .where('source', '=', 'scim')
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
}

async function updateGroup(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  group: Pick<DirectoryGroup, 'displayName' | 'externalId'> & { id: string; by: Acting },
): Promise<void> {
  const { id, displayName, externalId, by } = group;
  await tx
    .updateTable('groups')
    .set({ display_name: displayName, external_id: externalId, updated_at: sql<Date>`clock_timestamp()` })
    .where('id', '=', id)
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'group.changed',
    ids: { group: id, ...actingIds(by) },
    personal: { display_name: displayName },
  });
}

async function checkGroup(
  tx: Tx,
  group: DirectoryGroup,
  ownId: string | null,
): Promise<Result<DirectoryGroup, Refusal>> {
  const name = parseGroupName(group.displayName);
  if (!name.ok) return name;
  const externalId = parseExternalId(group.externalId);
  if (!externalId.ok) return externalId;
  const same = await findGroupByName(tx, name.value);
  if (same !== undefined && same.id !== ownId) {
    if (same.source === 'scim') return refused(TAKEN);
    const words = 'Sign-ins by an identity provider made a group of this name. Choose another one, here or for theirs.';
    return refused(refusal('conflict', words));
  }
  const memberIds = [...new Set(group.memberIds)];
  const members = await checkMembers(tx, memberIds);
  return members.ok ? accepted({ displayName: name.value, externalId: externalId.value, memberIds }) : members;
}
