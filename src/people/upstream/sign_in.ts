import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { newId } from '../../kernel/ids.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { transactRepeatably } from '../../store/transact.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { lockKeys } from '../directory/lock.ts';
import { USER_HANDLE_BYTES } from '../limits.ts';
import { lockPersonForChange, startSession } from '../session.ts';
import type { Admitted } from './admit.ts';
import { followGroups } from './groups.ts';

const WAS_DISABLED = refusal(
  'person_inactive',
  'You were disabled here, by an administrator or by your directory. Nobody was signed in.',
);

/**
 * Signs in whoever this subject of this issuer is. Nobody is ever recognised by a name or a mail address: an unknown subject
 * is a person whom the directory knows by the same id, or somebody new where the configuration lets them in.
 */
export async function signInUpstream(
  store: Store,
  admitted: Admitted,
): Promise<Result<{ personId: string; cookieValue: string }, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const { issuer, subject, directoryId } = admitted;
    const shared = directoryId === null ? [] : [`external_id:${directoryId}` as const];
    await lockKeys(tx, [`identity:${issuer} ${subject}`, ...shared]);
    const person = await personOf(store, tx, afterCommit, admitted);
    if (!person.ok) return person;
    const personId = person.value;
    if (!(await lockPersonForChange(tx, personId))) return refused(WAS_DISABLED);
    await followClaims(store, tx, afterCommit, personId, admitted);
    await tx
      .updateTable('identities')
      .set({ last_used_at: sql<Date>`clock_timestamp()` })
      .where('issuer', '=', admitted.issuer)
      .where('subject', '=', admitted.subject)
      .execute();
    const { cookieValue } = await startSession(store, tx, afterCommit, {
      personId,
      amr: admitted.amr,
      ...(admitted.authTime === null ? {} : { authenticatedAt: new Date(admitted.authTime * 1000) }),
    });
    return accepted({ personId, cookieValue });
  });
}

async function personOf(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  admitted: Admitted,
): Promise<Result<string, Refusal>> {
  const { issuer, subject } = admitted;
  const known = await tx
    .selectFrom('identities')
    .innerJoin('people', 'people.id', 'identities.person_id')
    .select(['people.id', 'people.deleted_at'])
    .where('issuer', '=', issuer)
    .where('subject', '=', subject)
    .executeTakeFirst();
  if (known !== undefined && known.deleted_at === null) return accepted(known.id);
  const provisioned = await provisionedPerson(tx, admitted);
  if (!provisioned.ok) return provisioned;
  // Whoever the directory deleted comes back as whom it made since, and not by themselves.
  if (known !== undefined && provisioned.value === null) return refused(WAS_DISABLED);
  if (provisioned.value === null && !admitted.mayBeNew) {
    const words =
      'You proved who you are, but nobody has given you access to this server. Ask your administrator to add you, in ' +
      'the directory or in a group that may sign in here.';
    return refused(refusal('sign_in_refused', words));
  }
  const personId = provisioned.value ?? (await addPerson(store, tx, afterCommit, admitted));
  await tx
    .insertInto('identities')
    .values({ issuer, subject, person_id: personId })
    .onConflict((conflict) => conflict.columns(['issuer', 'subject']).doUpdateSet({ person_id: personId }))
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'identity.linked',
    ids: { person: personId, by_directory: provisioned.value === null ? 'no' : 'yes' },
    personal: { issuer, subject },
  });
  return accepted(personId);
}

/** Whom the directory made under this id, if they are nobody else's at this issuer. */
async function provisionedPerson(tx: Tx, admitted: Admitted): Promise<Result<string | null, Refusal>> {
  if (admitted.directoryId === null) return accepted(null);
  const rows = await tx
    .selectFrom('people')
    .select('id')
    .where('external_id', '=', admitted.directoryId)
    .where('source', '=', 'scim')
    .where('deleted_at', 'is', null)
    .limit(2)
    .execute();
  if (rows.length === 0) return accepted(null);
  const taken = await tx
    .selectFrom('identities')
    .select('subject')
    .where('person_id', '=', rows[0]!.id)
    .where('issuer', '=', admitted.issuer)
    .executeTakeFirst();
  if (rows.length === 1 && taken === undefined) return accepted(rows[0]!.id);
  const words =
    'Your directory gave the same externalId to several people, or to somebody who signs in as another. An administrator ' +
    'must mend that there.';
  return refused(refusal('sign_in_refused', words));
}

async function addPerson(store: Store, tx: Tx, afterCommit: AfterCommit, admitted: Admitted): Promise<string> {
  const id = newId('prs');
  const displayName = admitted.displayName ?? `Somebody (${id.slice(-6)})`;
  await tx
    .insertInto('people')
    .values({
      id,
      display_name: displayName,
      state: 'active',
      is_administrator: false,
      user_handle: randomBytes(USER_HANDLE_BYTES),
      external_id: admitted.directoryId,
      source: 'oidc',
    })
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'person.created',
    ids: { person: id, is_administrator: 0, source: 'oidc', created_by: null },
    personal: { display_name: displayName },
  });
  return id;
}

/** What the provider says of them now: name, groups, whether they administer. Of local people only the groups. */
async function followClaims(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  personId: string,
  admitted: Admitted,
): Promise<void> {
  const { groups, issuer } = admitted;
  const now = await tx
    .selectFrom('people')
    .select(['display_name', 'is_administrator', 'source', 'external_id'])
    .where('id', '=', personId)
    .executeTakeFirstOrThrow();
  const isOwn = now.source === 'oidc';
  const next = {
    display_name: (isOwn ? admitted.displayName : null) ?? now.display_name,
    external_id: (isOwn ? admitted.directoryId : null) ?? now.external_id,
    is_administrator:
      now.source === 'local' ? now.is_administrator : (admitted.isAdministrator ?? now.is_administrator),
  };
  const isSame = (Object.keys(next) as (keyof typeof next)[]).every((column) => next[column] === now[column]);
  if (!isSame) {
    await tx
      .updateTable('people')
      .set({ ...next, updated_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', personId)
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'person.updated',
      ids: { person: personId, source: 'oidc', is_administrator: Number(next.is_administrator) },
      personal: { display_name: next.display_name },
    });
  }
  if (groups !== null) await followGroups(store, tx, afterCommit, { id: personId, issuer, groups });
}
