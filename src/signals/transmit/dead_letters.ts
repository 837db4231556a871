import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Acting } from '../../model/acting.ts';
import type { Store } from '../../store/store.ts';
import { transact } from '../../store/transact.ts';
import { CHANNELS } from '../../store/wake.ts';
import { DEAD_LETTERS_SHOWN_MAX } from '../limits.ts';

export interface DeadLetter {
  readonly jti: string;
  /** The URI of its event. */
  readonly type: string;
  readonly subject: JsonObject;
  readonly attempts: number;
  readonly createdAt: Date;
  readonly lastError: string;
}

/** What was given up in a stream, the oldest first. */
export async function listDeadLetters(store: Store, streamId: string): Promise<DeadLetter[]> {
  const rows = await store.db
    .selectFrom('signal_messages')
    .select(['jti', 'claims', 'attempts', 'created_at', 'last_error'])
    .where('stream_id', '=', streamId)
    .where('state', '=', 'failed')
    .orderBy('sequence_number')
    .limit(DEAD_LETTERS_SHOWN_MAX)
    .execute();
  return rows.map(({ jti, claims, attempts, created_at, last_error }) => {
    const { events, sub_id } = JSON.parse(claims) as { events: JsonObject; sub_id: JsonObject };
    const type = Object.keys(events)[0] ?? '';
    return { jti, type, subject: sub_id, attempts, createdAt: created_at, lastError: last_error ?? '' };
  });
}

/**
 * Lets all dead letters of a stream wait again, before what waits now and in their own order. Answers how many. The
 * receiver has a day again to take them.
 */
export async function retryDeadLetters(store: Store, streamId: string, by: Acting): Promise<number> {
  return transact(store, async (tx, afterCommit) => {
    // The lock of those who push, so that none of them records a failure of before on what is tried anew.
    await tx.selectFrom('signal_streams').select('id').where('id', '=', streamId).forUpdate().execute();
    const { numUpdatedRows } = await tx
      .updateTable('signal_messages')
      .set({ state: 'waiting', attempts: 0, refusals: 0 })
      .where('stream_id', '=', streamId)
      .where('state', '=', 'failed')
      .executeTakeFirstOrThrow();
    const messages = Number(numUpdatedRows);
    if (messages === 0) return 0;
    await tx
      .updateTable('signal_streams')
      .set({ failures: 0, failing_since: null, retry_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', streamId)
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'signal_stream.changed',
      ids: { stream: streamId, what: 'dead_letters', messages, by: by.id, by_kind: by.kind },
    });
    afterCommit(() => store.ephemeral.publish(CHANNELS.signals, ''));
    return messages;
  });
}
