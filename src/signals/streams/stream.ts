import { type Selectable, sql } from 'kysely';
import type { JsonObject } from '../../kernel/json.ts';
import type { SignalStreamsTable } from '../../store/postgres/tables.ts';
import type { Store, Tx } from '../../store/store.ts';
import { EVENTS_SUPPORTED, POLL_METHOD, PUSH_METHOD, SSF_PATHS } from '../../wire/ssf_1_0.ts';
import { VERIFICATION_INTERVAL_SECONDS } from '../limits.ts';

export type Stream = Selectable<SignalStreamsTable>;

/** The vault's purpose for the Authorization header that a receiver wants with what is pushed. */
export const AUTHORIZATION_PURPOSE = 'signal-authorization';

/** The stream, if it is this receiver's; with the lock of whoever changes it, or makes messages for it. */
export function lockStream(tx: Tx, receiver: string, streamId: string): Promise<Stream | undefined> {
  return tx
    .selectFrom('signal_streams')
    .selectAll()
    .where('id', '=', streamId)
    .where('receiver', '=', receiver)
    .forUpdate()
    .executeTakeFirst();
}

export function findStream(store: Store, receiver: string, streamId: string): Promise<Stream | undefined> {
  return store.db
    .selectFrom('signal_streams')
    .selectAll()
    .where('id', '=', streamId)
    .where('receiver', '=', receiver)
    .executeTakeFirst();
}

/** Of one receiver, the oldest first. */
export function listStreams(store: Store, receiver: string): Promise<Stream[]> {
  return store.db
    .selectFrom('signal_streams')
    .selectAll()
    .where('receiver', '=', receiver)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
}

/** What is delivered of what was asked for; a stream that asked for nothing gets everything. */
export function eventsDelivered(stream: Pick<Stream, 'events_requested'>): readonly string[] {
  const { events_requested } = stream;
  if (events_requested.length === 0) return EVENTS_SUPPORTED;
  return EVENTS_SUPPORTED.filter((type) => events_requested.includes(type));
}

/** SSF 1.0 §8.1.1. The header a receiver gave is never shown again: it is a credential. */
export function streamConfiguration(issuer: string, stream: Stream): JsonObject {
  const { id, receiver, method, endpoint, events_requested, description } = stream;
  return {
    stream_id: id,
    iss: issuer,
    aud: receiver,
    delivery:
      method === 'push'
        ? { method: PUSH_METHOD, endpoint_url: endpoint }
        : { method: POLL_METHOD, endpoint_url: `${issuer}${SSF_PATHS.poll(id)}` },
    events_supported: EVENTS_SUPPORTED,
    events_requested,
    events_delivered: eventsDelivered(stream),
    min_verification_interval: VERIFICATION_INTERVAL_SECONDS,
    ...(description === null ? {} : { description }),
  };
}

/** SSF 1.0 §8.1.2.1 */
export function streamStatus(stream: Pick<Stream, 'id' | 'status' | 'status_reason'>): JsonObject {
  const { id, status, status_reason } = stream;
  return { stream_id: id, status, ...(status_reason === null ? {} : { reason: status_reason }) };
}

/** How long the log is: a new stream tells of what is sealed from now on. */
export async function logSize(tx: Tx): Promise<number> {
  const { rows } = await sql<{ size: number }>`select coalesce(max(size), 0)::bigint as size from checkpoints`.execute(
    tx,
  );
  return rows[0]!.size;
}
