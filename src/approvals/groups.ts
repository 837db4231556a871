import { type RawBuilder, sql } from 'kysely';

/**
 * Names and ids of the live groups of the person in this column. A name can be given to another group; an id cannot. Every
 * change of a membership touches `people.updated_at`, so that a statement that locks the person sees it.
 */
export function groupsOf(personId: RawBuilder<string>): RawBuilder<readonly string[]> {
  return sql<readonly string[]>`(select coalesce(array_agg(x.name), '{}') from group_members m
    join groups g on g.id = m.group_id cross join unnest(array[g.id, g.display_name]) as x (name)
    where m.person_id = ${personId} and g.deleted_at is null)`;
}
