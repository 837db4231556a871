import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { GROUP_MEMBERS_MAX, MEMBERS_PER_EVENT_MAX } from '../limits.ts';

export interface MembersChange {
  readonly groupId: string;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly by: Acting;
}

/**
 * Adds and removes members, under the key of the group where all of them are replaced. People are locked, in order, before anything is written, and their
 * version changes: a decision or the use of a grant that is under way comes wholly before or sees the new groups.
 */
export async function changeMembers(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  change: MembersChange,
): Promise<void> {
  const { groupId, added, removed, by } = change;
  await touchPeople(tx, [...added, ...removed]);
  if (removed.length > 0) {
    await sql`delete from group_members where group_id = ${groupId} and person_id = any(${removed}::text[])`.execute(
      tx,
    );
  }
  if (added.length > 0) {
    await sql`insert into group_members (group_id, person_id) select ${groupId}, unnest(${added}::text[])
      on conflict do nothing`.execute(tx);
  }
  for (const [verb, ids] of Object.entries({ added, removed })) {
    for (let at = 0; at < ids.length; at += MEMBERS_PER_EVENT_MAX) {
      const some = ids.slice(at, at + MEMBERS_PER_EVENT_MAX);
      await append(store, tx, afterCommit, {
        kind: 'group.changed',
        ids: { group: groupId, [verb]: some.join(' '), ...actingIds(by) },
      });
    }
  }
}

/** Whoever locks one of these people waits for this transaction, and finds another version of them after it. */
export async function touchPeople(tx: Tx, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await sql`select 1 from people where id = any(${ids}::text[]) order by id for no key update`.execute(tx);
  await sql`update people set updated_at = clock_timestamp() where id = any(${ids}::text[])`.execute(tx);
}

export async function membersOf(tx: Tx | Store['db'], groupId: string): Promise<string[]> {
  const rows = await tx
    .selectFrom('group_members')
    .innerJoin('people', 'people.id', 'group_members.person_id')
    .select('person_id')
    .where('group_id', '=', groupId)
    .where('people.deleted_at', 'is', null)
    .orderBy('person_id')
    .execute();
  return rows.map((row) => row.person_id);
}

/** Only people of the directory can be members of its groups. */
export async function checkMembers(tx: Tx, ids: readonly string[]): Promise<Result<true, Refusal>> {
  if (ids.length > GROUP_MEMBERS_MAX) {
    return refused(refusal('request_invalid', `A group may have ${GROUP_MEMBERS_MAX} members.`));
  }
  const { rows } = await sql<{ id: string }>`select x.id from unnest(${ids}::text[]) as x (id)
    where not exists (select 1 from people p where p.id = x.id and p.source = 'scim' and p.deleted_at is null)
    limit 1`.execute(tx);
  return rows.length === 0
    ? accepted(true)
    : refused(refusal('request_invalid', `There is no user "${rows[0]!.id}" who could be a member.`));
}
