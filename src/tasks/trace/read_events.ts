import { sql } from 'kysely';
import type { EventBody } from '../../events/event_body.ts';
import { EVENT_KINDS, type EventKind } from '../../events/kinds.ts';
import type { Tx } from '../../store/store.ts';
import { TRACE_EVENTS_MAX } from './limits.ts';
import type { TracedEvent } from './trace.ts';

/** Written as in migrations/0005_trace_index.ts, which is what makes this fast. */
const SUBJECT = sql`coalesce(body::jsonb -> 'ids' ->> 'task', body::jsonb -> 'ids' ->> 'step_up')`;

interface Row {
  readonly id: number;
  readonly position: number | null;
  readonly kind: string;
  readonly body: string;
  readonly at: Date;
}

/** The events that name one of these tasks, or one of their step-ups, after `after`, in the order they were written. */
export async function readEvents(
  tx: Tx,
  taskIds: readonly string[],
  after: number,
): Promise<{ readonly events: readonly TracedEvent[]; readonly next: number | null }> {
  const { rows } = await sql<Row>`select id, position, kind, body, at from events
    where ${SUBJECT} = any(array(
      select unnest(${taskIds}::text[]) union all select id from step_ups where task_id = any(${taskIds}::text[])))
      and id > ${after}
    order by id limit ${TRACE_EVENTS_MAX + 1}`.execute(tx);
  const page = rows.slice(0, TRACE_EVENTS_MAX);
  return {
    events: page.map(({ id, position, kind, body, at }) => ({
      id,
      position,
      at,
      kind,
      what: EVENT_KINDS[kind as EventKind] ?? kind,
      ids: (JSON.parse(body) as EventBody).ids,
    })),
    next: rows.length > page.length ? page.at(-1)!.id : null,
  };
}
