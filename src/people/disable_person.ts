import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/**
 * Disables a person: their sessions end, and the links they made or could sign in by stop working, all at once. Never
 * the last administrator, since then nobody could administer the server but whoever holds its next set-up link.
 */
export async function disablePerson(
  store: Store,
  change: { readonly personId: string; readonly by: string },
): Promise<Result<null, Refusal>> {
  return transact(store, async (tx, afterCommit) => {
    // All in one order, the order in which decisions and redemptions lock people.
    const people = await tx
      .selectFrom('people')
      .select(['id', 'is_administrator', 'state'])
      .where((where) => where.or([where('is_administrator', '=', true), where('id', '=', change.personId)]))
      .orderBy('id')
      .forNoKeyUpdate()
      .execute();
    const administrators = people.filter((one) => one.is_administrator && one.state === 'active');
    if (!administrators.some((one) => one.id === change.by)) {
      return refused(refusal('not_allowed', 'Only an administrator may disable a person. Nothing was changed.'));
    }
    if (administrators.length === 1 && administrators[0]!.id === change.personId) {
      return refused(
        refusal('conflict', 'This is the last administrator. Make another person an administrator first.'),
      );
    }
    const disabled = await tx
      .updateTable('people')
      .set({ state: 'disabled' })
      .where('id', '=', change.personId)
      .where('state', '=', 'active')
      .returning('id')
      .executeTakeFirst();
    if (disabled === undefined) return refused(refusal('not_found', 'There is no active person with this id.'));
    await tx
      .updateTable('sessions')
      .set({ revoked_at: sql<Date>`clock_timestamp()` })
      .where('person_id', '=', change.personId)
      .where('revoked_at', 'is', null)
      .execute();
    await tx
      .updateTable('links')
      .set({ expires_at: sql<Date>`clock_timestamp()` })
      .where((where) => where.or([where('created_by', '=', change.personId), where('person_id', '=', change.personId)]))
      .where('used_at', 'is', null)
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'person.disabled',
      ids: { person: change.personId, by: change.by },
    });
    return accepted(null);
  });
}
