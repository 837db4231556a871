import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { newId } from '../../kernel/ids.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { transactRepeatably } from '../../store/transact.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { USER_HANDLE_BYTES } from '../limits.ts';
import { checkUser, type DirectoryUser } from './directory_user.ts';
import { refusingDuplicates } from './duplicates.ts';
import { lockKeys } from './lock.ts';

const NO_USER = refusal('not_found', 'There is no such user.');
const TAKEN = refusal('conflict', 'Another user has this userName.');

/**
 * Makes the person, or takes over the one who signed in by an identity provider before the directory named them: the two are
 * the same where both know them by the same external id.
 */
export async function createUser(
  store: Store,
  input: { readonly user: DirectoryUser; readonly by: Acting },
): Promise<Result<{ id: string }, Refusal>> {
  const checked = checkUser(input.user);
  if (!checked.ok) return checked;
  const user = checked.value;
  const work = () =>
    transactRepeatably(store, async (tx, afterCommit) => {
      if (user.externalId !== null) await lockKeys(tx, [`external_id:${user.externalId}`]);
      if (await isTaken(tx, user.userName, null)) return refused(TAKEN);
      const known = user.externalId === null ? [] : await signedInBefore(tx, user.externalId);
      if (known.length === 1) {
        const id = known[0]!;
        await updateUser(store, tx, afterCommit, { id, user, by: input.by });
        return accepted({ id });
      }
      const id = newId('prs');
      await tx
        .insertInto('people')
        .values({
          id,
          ...columnsOf(user),
          state: user.isActive ? 'active' : 'disabled',
          is_administrator: false,
          user_handle: randomBytes(USER_HANDLE_BYTES),
          source: 'scim',
        })
        .execute();
      await append(store, tx, afterCommit, {
        kind: 'person.created',
        ids: {
          person: id,
          is_administrator: 0,
          source: 'scim',
          is_active: Number(user.isActive),
          created_by: input.by.id,
          ...actingIds(input.by),
        },
        personal: { display_name: user.displayName, user_name: user.userName },
      });
      return accepted({ id });
    });
  return refusingDuplicates('people_by_user_name', TAKEN, work);
}

/**
 * Changes what is known of the user to what `change` makes of it, read under the lock. Whether they are active is not
 * changed here: what hangs on a person ends with them, in a transaction of its own.
 */
export async function changeUser(
  store: Store,
  input: { readonly id: string; readonly by: Acting },
  change: (now: DirectoryUser) => Result<DirectoryUser, Refusal>,
): Promise<Result<{ id: string }, Refusal>> {
  const { id, by } = input;
  const work = () =>
    transactRepeatably(store, async (tx, afterCommit) => {
      await tx.selectFrom('people').select('id').where('id', '=', id).forNoKeyUpdate().execute();
      const now = await findUser(tx, id);
      if (now === undefined) return refused(NO_USER);
      const wanted = change(now);
      const checked = wanted.ok ? checkUser(wanted.value) : wanted;
      if (!checked.ok) return checked;
      const user = checked.value;
      if (await isTaken(tx, user.userName, id)) return refused(TAKEN);
      const isSame = (Object.keys(columnsOf(user)) as (keyof ReturnType<typeof columnsOf>)[]).every(
        (column) => columnsOf(user)[column] === columnsOf(now)[column],
      );
      if (!isSame) await updateUser(store, tx, afterCommit, { id, user, by });
      return accepted({ id });
    });
  return refusingDuplicates('people_by_user_name', TAKEN, work);
}

/** The user of the directory with this id; undefined also for people who are none of its. */
export async function findUser(db: Tx | Store['db'], id: string): Promise<DirectoryUser | undefined> {
  const row = await db
    .selectFrom('people')
    .select(['user_name', 'display_name', 'email', 'external_id', 'state'])
    .where('id', '=', id)
    .where('source', '=', 'scim')
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    userName: row.user_name ?? '',
    displayName: row.display_name,
    email: row.email,
    externalId: row.external_id,
    isActive: row.state === 'active',
  };
}

function columnsOf(user: DirectoryUser) {
  return {
    user_name: user.userName,
    display_name: user.displayName,
    email: user.email,
    external_id: user.externalId,
  };
}

async function isTaken(tx: Tx, userName: string, ownId: string | null): Promise<boolean> {
  const row = await tx
    .selectFrom('people')
    .select('id')
    .where(sql<boolean>`lower(user_name) = lower(${userName})`)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  return row !== undefined && row.id !== ownId;
}

async function signedInBefore(tx: Tx, externalId: string): Promise<string[]> {
  const rows = await tx
    .selectFrom('people')
    .select('id')
    .where('external_id', '=', externalId)
    .where('source', '=', 'oidc')
    .where('deleted_at', 'is', null)
    .execute();
  return rows.map((row) => row.id);
}

async function updateUser(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  { id, user, by }: { readonly id: string; readonly user: DirectoryUser; readonly by: Acting },
): Promise<void> {
  await tx
    .updateTable('people')
    .set({ ...columnsOf(user), source: 'scim', updated_at: sql<Date>`clock_timestamp()` })
    .where('id', '=', id)
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'person.updated',
    ids: { person: id, source: 'scim', ...actingIds(by) },
    personal: { display_name: user.displayName, user_name: user.userName },
  });
}
