import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import { newSecret } from '../kernel/ids.ts';
import type { SignedIn } from '../model/person.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { SECRET_CHARACTERS_MAX } from './limits.ts';

/** Who is signed in with this cookie; null if nobody is, also when the person was disabled meanwhile. */
export async function findSession(store: Store, cookieValue: string | undefined): Promise<SignedIn | null> {
  if (cookieValue === undefined || cookieValue === '' || cookieValue.length > SECRET_CHARACTERS_MAX) return null;
  const row = await store.db
    .selectFrom('sessions')
    .innerJoin('people', 'people.id', 'sessions.person_id')
    .select(['sessions.id_hash', 'sessions.amr', 'sessions.authenticated_at'])
    .select(['people.id', 'people.display_name', 'people.is_administrator'])
    .where('sessions.id_hash', '=', sha256Base64url(cookieValue))
    .where('sessions.revoked_at', 'is', null)
    .where('sessions.expires_at', '>', sql<Date>`clock_timestamp()`)
    .where('people.state', '=', 'active')
    .executeTakeFirst();
  if (row === undefined) return null;
  return {
    sessionIdHash: row.id_hash,
    person: { id: row.id, displayName: row.display_name, isAdministrator: row.is_administrator },
    amr: row.amr,
    authenticatedAt: row.authenticated_at,
  };
}

/**
 * Starts a session in the caller's transaction. The caller has checked that the person is active; a person who was
 * disabled since then gets no session, by a throw that rolls the caller back. `authenticatedAt` is when they proved who they
 * are, if that was earlier and elsewhere.
 */
export async function startSession(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  who: { readonly personId: string; readonly amr: readonly string[]; readonly authenticatedAt?: Date },
): Promise<{ cookieValue: string }> {
  if (!(await lockActivePerson(tx, who.personId))) throw new Error(`No active person ${who.personId} to sign in.`);
  const cookieValue = newSecret();
  const idHash = sha256Base64url(cookieValue);
  await tx
    .insertInto('sessions')
    .values({
      id_hash: idHash,
      person_id: who.personId,
      amr: JSON.stringify(who.amr),
      ...(who.authenticatedAt === undefined
        ? {}
        : { authenticated_at: sql<Date>`least(${who.authenticatedAt}::timestamptz, clock_timestamp())` }),
      expires_at: sql<Date>`clock_timestamp() + make_interval(secs => ${store.rules.sessionSeconds})`,
    })
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'session.started',
    ids: { person: who.personId, session: idHash, amr: who.amr.join(' ') },
  });
  return { cookieValue };
}

/** Ends the session. Ending it again changes nothing. */
export async function endSession(store: Store, signedIn: SignedIn): Promise<void> {
  await transact(store, async (tx, afterCommit) => {
    const ended = await tx
      .updateTable('sessions')
      .set({ revoked_at: sql<Date>`clock_timestamp()` })
      .where('id_hash', '=', signedIn.sessionIdHash)
      .where('revoked_at', 'is', null)
      .returning('person_id')
      .executeTakeFirst();
    if (ended === undefined) return;
    await append(store, tx, afterCommit, {
      kind: 'session.ended',
      ids: { person: ended.person_id, session: signedIn.sessionIdHash, reason: 'signed_out' },
    });
  });
}

/** Holds off `disablePerson` until the transaction ends. False for a person who is unknown or disabled. */
export async function lockActivePerson(tx: Tx, personId: string): Promise<boolean> {
  const row = await tx
    .selectFrom('people')
    .select('id')
    .where('id', '=', personId)
    .where('state', '=', 'active')
    .forShare()
    .executeTakeFirst();
  return row !== undefined;
}

/** As `lockActivePerson`, and keeps other changes of the same person waiting. */
export async function lockPersonForChange(tx: Tx, personId: string): Promise<boolean> {
  const row = await tx
    .selectFrom('people')
    .select('id')
    .where('id', '=', personId)
    .where('state', '=', 'active')
    .forNoKeyUpdate()
    .executeTakeFirst();
  return row !== undefined;
}
