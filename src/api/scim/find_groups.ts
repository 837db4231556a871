import { type RawBuilder, sql } from 'kysely';
import type { JsonObject } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import type { FilterTerm } from './filter.ts';
import type { PageOf } from './listing.ts';
import { invalid, type ScimRefusal } from './scim_error.ts';

export const GROUP_SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:Group';

interface GroupRow {
  readonly id: string;
  readonly display_name: string;
  readonly external_id: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly members: readonly { readonly id: string; readonly name: string }[] | null;
}

const OURS = sql`g.source = 'scim' and g.deleted_at is null`;
const MEMBERS = sql`(select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'name', p.display_name) order by p.id), '[]')
  from group_members m join people p on p.id = m.person_id where m.group_id = g.id and p.deleted_at is null)`;

const hasMember = (value: string) =>
  sql`exists (select 1 from group_members m where m.group_id = g.id and m.person_id = ${value})`;
const BY: Readonly<Record<string, (value: string) => RawBuilder<unknown>>> = {
  id: (value) => sql`g.id = ${value}`,
  displayname: (value) => sql`lower(g.display_name) = lower(${value})`,
  externalid: (value) => sql`g.external_id = ${value}`,
  members: hasMember,
  'members.value': hasMember,
};

function columns(withMembers: boolean) {
  const members = withMembers ? MEMBERS : sql`null`;
  return sql`g.id, g.display_name, g.external_id, g.created_at, g.updated_at, ${members} as members`;
}

export async function findGroupResource(
  store: Store,
  id: string,
  withMembers: boolean,
): Promise<JsonObject | undefined> {
  const { rows } = await sql<GroupRow>`select ${columns(withMembers)} from groups g
    where ${OURS} and g.id = ${id}`.execute(store.db);
  return rows[0] === undefined ? undefined : groupResource(store.issuer, rows[0]);
}

export async function listGroups(
  store: Store,
  terms: readonly FilterTerm[],
  page: PageOf,
  withMembers: boolean,
): Promise<Result<{ total: number; resources: readonly JsonObject[] }, ScimRefusal>> {
  const unknown = terms.find((term) => !Object.hasOwn(BY, term.attribute));
  if (unknown !== undefined) {
    const known = 'displayName, externalId, members.value and id';
    return refused(invalid('invalidFilter', `Groups cannot be found by "${unknown.attribute}", only by ${known}.`));
  }
  const where = sql.join([OURS, ...terms.map((term) => BY[term.attribute]!(term.value))], sql` and `);
  const counted = await sql<{ total: number }>`select count(*)::int as total from groups g where ${where}`.execute(
    store.db,
  );
  const { rows } = await sql<GroupRow>`select ${columns(withMembers)} from groups g where ${where}
    order by g.created_at, g.id offset ${page.startIndex - 1} limit ${page.count}`.execute(store.db);
  return accepted({ total: counted.rows[0]!.total, resources: rows.map((row) => groupResource(store.issuer, row)) });
}

function groupResource(issuer: string, row: GroupRow): JsonObject {
  const base = `${issuer}/scim/v2`;
  return {
    schemas: [GROUP_SCHEMA],
    id: row.id,
    ...(row.external_id === null ? {} : { externalId: row.external_id }),
    displayName: row.display_name,
    ...(row.members === null
      ? {}
      : {
          members: row.members.map((member) => ({
            value: member.id,
            display: member.name,
            type: 'User',
            $ref: `${base}/Users/${member.id}`,
          })),
        }),
    meta: {
      resourceType: 'Group',
      created: row.created_at.toISOString(),
      lastModified: row.updated_at.toISOString(),
      location: `${base}/Groups/${row.id}`,
    },
  };
}
