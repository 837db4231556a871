import { sql } from 'kysely';
import type { Store } from '../../store/store.ts';

/** A stream as an operator sees it. */
export interface StreamOverview {
  readonly id: string;
  readonly receiver: string;
  readonly method: 'push' | 'poll';
  readonly endpoint: string | null;
  readonly status: 'enabled' | 'paused' | 'disabled';
  readonly waiting: number;
  readonly dead: number;
  /** Sealed events that were not looked at yet. */
  readonly behind: number;
  readonly failing_since: Date | null;
  readonly last_error: string | null;
  readonly last_delivered_at: Date | null;
}

/** Every stream there is, those that fail first. */
export async function overviewOfStreams(store: Store): Promise<StreamOverview[]> {
  const { rows } = await sql<StreamOverview>`
    select s.id, s.receiver, s.method, s.endpoint, s.status, s.failing_since, s.last_error, s.last_delivered_at,
      (select count(*)::int from signal_messages m where m.stream_id = s.id and m.state = 'waiting') as waiting,
      (select count(*)::int from signal_messages m where m.stream_id = s.id and m.state = 'failed') as dead,
      greatest(0, (select coalesce(max(size), 0) from checkpoints) - s.position)::int as behind
    from signal_streams s
    order by (s.failing_since is null), s.receiver, s.created_at`.execute(store.db);
  return rows;
}
