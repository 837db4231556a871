import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import { type IssSub, namedUser, type Opaque } from '../../wire/subject_identifiers_rfc9493.ts';
import { speaksFor, type Transmitter } from './transmitter.ts';
import { type SetRefusal, setRefusal } from './verify_set.ts';

/**
 * The person an event is about: a subject of an issuer that is linked to them, or the id their directory gave them. Never
 * an address of mail, which is given to somebody else one day.
 */
export async function findPersonOf(
  store: Store,
  transmitter: Transmitter,
  subject: unknown,
): Promise<Result<string, SetRefusal>> {
  const named = namedUser(subject);
  if (named === undefined || (named.format === 'opaque' && !transmitter.opaque_is_external_id)) {
    const words = 'The sub_id must be an iss_sub subject, or a complex one whose user is.';
    return refused(setRefusal('subject_unsupported', 'invalid_request', words));
  }
  if (named.format === 'iss_sub' && !speaksFor(transmitter, named.iss)) {
    return refused(setRefusal('subject_foreign', 'access_denied', 'You may not speak of subjects of that issuer.'));
  }
  const id = await (named.format === 'iss_sub' ? findByIdentity(store, named) : findByExternalId(store, named));
  return id === undefined
    ? refused(setRefusal('subject_unknown', 'invalid_request', 'Nobody here is known by this subject.'))
    : accepted(id);
}

async function findByIdentity(store: Store, { iss, sub }: IssSub): Promise<string | undefined> {
  const row = await store.db
    .selectFrom('identities')
    .select('person_id')
    .where('issuer', '=', iss)
    .where('subject', '=', sub)
    .executeTakeFirst();
  return row?.person_id;
}

/** Nobody if several have it: an id that does not tell people apart names none of them. */
async function findByExternalId(store: Store, { id }: Opaque): Promise<string | undefined> {
  const rows = await store.db
    .selectFrom('people')
    .select('id')
    .where('external_id', '=', id)
    .where('source', '=', 'scim')
    .where('deleted_at', 'is', null)
    .limit(2)
    .execute();
  return rows.length === 1 ? rows[0]!.id : undefined;
}
