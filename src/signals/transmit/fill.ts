import { sql } from 'kysely';
import { type FollowedEvent, readEvents } from '../../events/follow.ts';
import { readLogStart } from '../../events/retention.ts';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { transact } from '../../store/transact.ts';
import { CHANNELS } from '../../store/wake.ts';
import { labelledDigest } from '../../wire/labelled_digest.ts';
import { writeSetClaims } from '../../wire/set_rfc8417.ts';
import { FILL_EVENTS_MAX, STREAM_MESSAGES_MAX } from '../limits.ts';
import { eventsDelivered, logSize, type Stream } from '../streams/stream.ts';
import { SIGNALLED_KINDS, securityEventOf } from './event_claims.ts';

/**
 * Turns what was sealed into messages, for every stream that is behind the log. A stream's position moves in the
 * transaction that writes its messages, under a lock on its row: whatever dies or runs beside it, each event becomes one
 * message, in the order of the log. Answers whether there is more to do.
 */
export async function fillStreams(store: Store): Promise<boolean> {
  const { rows } = await sql<{ id: string }>`
    select id from signal_streams
    where status <> 'disabled' and position < (select coalesce(max(size), 0) from checkpoints)
      and (select count(*) from (
        select from signal_messages where stream_id = signal_streams.id and state = 'waiting' limit ${STREAM_MESSAGES_MAX}
      ) as waiting) < ${STREAM_MESSAGES_MAX}
    order by id`.execute(store.db);
  let isMore = false;
  for (const { id } of rows) {
    const isBehind = await transact(store, (tx, afterCommit) => fillStream(store, tx, afterCommit, id));
    isMore ||= isBehind;
  }
  return isMore;
}

async function fillStream(store: Store, tx: Tx, afterCommit: AfterCommit, streamId: string): Promise<boolean> {
  const stream = await tx
    .selectFrom('signal_streams')
    .selectAll()
    .where('id', '=', streamId)
    .where('status', '<>', 'disabled')
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
  if (stream === undefined) return false;
  const size = await logSize(tx);
  const from = await startOf(store, tx, stream);
  const to = Math.min(size, from + FILL_EVENTS_MAX);
  const events = await readEvents(tx, from, to, SIGNALLED_KINDS);
  const messages = await writeMessages(store, tx, stream, events);
  await tx.updateTable('signal_streams').set({ position: to }).where('id', '=', stream.id).execute();
  if (messages > 0) afterCommit(() => store.ephemeral.publish(CHANNELS.signals, ''));
  return to < size;
}

/** Retention may have deleted what a stream had no room for: the receiver cannot be told of it any more. */
async function startOf(store: Store, tx: Tx, { id, position }: Stream): Promise<number> {
  const start = await readLogStart(tx);
  if (position >= start) return position;
  store.log.error(
    { stream: id, from: position, before: start },
    'a receiver of security events was behind so far that retention deleted what it was not told of; it misses these events',
  );
  return start;
}

async function writeMessages(store: Store, tx: Tx, stream: Stream, events: readonly FollowedEvent[]): Promise<number> {
  const { rows } = await sql<{ epoch: string; at: Date }>`
    select value #>> '{}' as epoch, clock_timestamp() as at from settings where name = 'log_epoch'`.execute(tx);
  const { epoch, at } = rows[0]!;
  const delivered = eventsDelivered(stream);
  const messages = events.flatMap((event) => {
    const told = securityEventOf(event, store.issuer);
    if (told === null || !delivered.includes(told.type)) return [];
    // By the epoch too: a restored log gives positions anew, and a receiver would take the next events for repetitions.
    const jti = labelledDigest('countersign-signal/1', `${stream.id} ${epoch} ${event.position}`);
    const txn = labelledDigest('countersign-signal-cause/1', `${store.issuer} ${epoch} ${event.position}`);
    const token = { issuer: store.issuer, audience: stream.receiver, jti, issuedAt: at, txn };
    return [{ jti, stream_id: stream.id, claims: writeSetClaims(told, token) }];
  });
  if (messages.length > 0) await tx.insertInto('signal_messages').values(messages).execute();
  return messages.length;
}
