import { sql } from 'kysely';
import type { Store } from '../store/store.ts';
import type { PersonEntry } from './pages/people_page.ts';

/** What pages show beside ids: names, by id. */
export async function personNames(store: Store): Promise<ReadonlyMap<string, string>> {
  const rows = await store.db.selectFrom('people').select(['id', 'display_name']).execute();
  return new Map(rows.map((row) => [row.id, row.display_name]));
}

export async function toolServerNames(store: Store): Promise<ReadonlyMap<string, string>> {
  const rows = await store.db.selectFrom('tool_servers').select(['id', 'name']).execute();
  return new Map(rows.map((row) => [row.id, row.name]));
}

/** Everybody, the active ones first, with their passkeys counted and their groups named. */
export async function listPeople(store: Store): Promise<PersonEntry[]> {
  const rows = await store.db
    .selectFrom('people')
    .leftJoin('passkeys', 'passkeys.person_id', 'people.id')
    .select(['people.id', 'people.display_name', 'people.is_administrator', 'people.state', 'people.created_at'])
    .select(['people.source', 'people.user_name', 'people.deleted_at'])
    .select(
      sql<readonly string[]>`(select coalesce(array_agg(g.display_name order by g.display_name), '{}')
        from group_members m join groups g on g.id = m.group_id
        where m.person_id = people.id and g.deleted_at is null)`.as('groups'),
    )
    .select((count) => count.fn.count<string>('passkeys.credential_id').as('passkeys'))
    .groupBy('people.id')
    .orderBy('people.state')
    .orderBy('people.display_name')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    name: row.display_name,
    isAdministrator: row.is_administrator,
    isActive: row.state === 'active',
    passkeys: Number(row.passkeys),
    createdAt: row.created_at,
    isDeleted: row.deleted_at !== null,
    source: row.source,
    userName: row.user_name,
    groups: row.groups,
  }));
}

export interface EventRow {
  readonly position: number | null;
  readonly kind: string;
  readonly body: string;
  readonly at: Date;
}

export async function latestEvents(store: Store, limit: number): Promise<EventRow[]> {
  const rows = await store.db
    .selectFrom('events')
    .select(['position', 'kind', 'body', 'at'])
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();
  return rows.map((row) => ({ ...row, position: row.position === null ? null : Number(row.position) }));
}

export async function latestCheckpoint(store: Store) {
  const row = await store.db
    .selectFrom('checkpoints')
    .select(['size', 'root', 'note', 'at'])
    .orderBy('size', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : { ...row, size: Number(row.size) };
}
