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
  readonly failingSince: Date | null;
  readonly lastError: string | null;
  readonly lastDeliveredAt: Date | null;
}

/** Every stream there is, those that fail first. */
export async function overviewOfStreams({ db }: Pick<Store, 'db'>): Promise<StreamOverview[]> {
  const { rows } = await sql<StreamOverview>`
    select s.id, s.receiver, s.method, s.endpoint, s.status, s.failing_since as "failingSince",
      coalesce(s.last_error, (select max(last_error) from signal_messages m where m.stream_id = s.id)) as "lastError",
      s.last_delivered_at as "lastDeliveredAt",
      (select count(*)::int from signal_messages m where m.stream_id = s.id and m.state = 'waiting') as waiting,
      (select count(*)::int from signal_messages m where m.stream_id = s.id and m.state = 'failed') as dead
    from signal_streams s
    order by (s.failing_since is null), s.receiver, s.created_at`.execute(db);
  return rows;
}
