import { type RawBuilder, sql } from 'kysely';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import type { FilterTerm } from './filter.ts';
import type { PageOf } from './listing.ts';
import { invalid, type ScimRefusal } from './scim_error.ts';
import type { UserRow } from './user_resource.ts';

const COLUMNS = sql`p.id, p.user_name, p.display_name, p.email, p.external_id, p.state, p.created_at, p.updated_at,
  (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'name', g.display_name) order by g.display_name), '[]')
    from group_members m join groups g on g.id = m.group_id
    where m.person_id = p.id and g.source = 'scim' and g.deleted_at is null) as groups`;
/** Only who came from the directory, and is still in it. */
const OURS = sql`p.source = 'scim' and p.deleted_at is null`;

const BY: Readonly<Record<string, (value: string) => RawBuilder<unknown>>> = {
  id: (value) => sql`p.id = ${value}`,
  // RFC 7643 §4.1.1: not case-sensitive.
  username: (value) => sql`lower(p.user_name) = lower(${value})`,
  externalid: (value) => sql`p.external_id = ${value}`,
  displayname: (value) => sql`lower(p.display_name) = lower(${value})`,
  emails: (value) => sql`lower(p.email) = lower(${value})`,
  'emails.value': (value) => sql`lower(p.email) = lower(${value})`,
  active: (value) => sql`(p.state = 'active') = ${value === 'true'}`,
};

export async function findUserRow(store: Store, id: string): Promise<UserRow | undefined> {
  const { rows } = await sql<UserRow>`select ${COLUMNS} from people p where ${OURS} and p.id = ${id}`.execute(store.db);
  return rows[0];
}

export async function listUsers(
  store: Store,
  terms: readonly FilterTerm[],
  page: PageOf,
): Promise<Result<{ total: number; rows: readonly UserRow[] }, ScimRefusal>> {
  const unknown = terms.find((term) => !Object.hasOwn(BY, term.attribute));
  if (unknown !== undefined) {
    const known = 'userName, externalId, displayName, emails.value, active and id';
    return refused(invalid('invalidFilter', `Users cannot be found by "${unknown.attribute}", only by ${known}.`));
  }
  const where = sql.join([OURS, ...terms.map((term) => BY[term.attribute]!(term.value))], sql` and `);
  const counted = await sql<{ total: number }>`select count(*)::int as total from people p where ${where}`.execute(
    store.db,
  );
  const { rows } = await sql<UserRow>`select ${COLUMNS} from people p where ${where}
    order by p.created_at, p.id offset ${page.startIndex - 1} limit ${page.count}`.execute(store.db);
  return accepted({ total: counted.rows[0]!.total, rows });
}
