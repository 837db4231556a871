import { type RawBuilder, sql } from 'kysely';
import type { Store } from '../store/store.ts';

export interface ListedPerson {
  readonly id: string;
  readonly display_name: string;
  readonly user_name: string | null;
  readonly state: 'active' | 'disabled';
  readonly is_administrator: boolean;
  readonly source: 'local' | 'oidc' | 'scim';
  /** Their live groups, by id. */
  readonly groups: readonly { readonly id: string; readonly name: string }[];
}

/** People whom no directory deleted, by id, the next ones after `after`. */
export async function listPeopleAfter(
  store: Store,
  page: { readonly after: string; readonly limit: number },
): Promise<ListedPerson[]> {
  return select(store, sql`p.id > ${page.after} order by p.id limit ${page.limit}`);
}

export async function findPerson(store: Store, id: string): Promise<ListedPerson | undefined> {
  return (await select(store, sql`p.id = ${id}`))[0];
}

async function select({ db }: Store, which: RawBuilder<unknown>): Promise<ListedPerson[]> {
  const { rows } =
    await sql<ListedPerson>`select p.id, p.display_name, p.user_name, p.state, p.is_administrator, p.source,
      (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'name', g.display_name) order by g.id), '[]')
        from group_members m join groups g on g.id = m.group_id
        where m.person_id = p.id and g.deleted_at is null) as groups
    from people p where p.deleted_at is null and ${which}`.execute(db);
  return rows;
}
