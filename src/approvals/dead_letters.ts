import { type Selectable, sql } from 'kysely';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { OutboxTable } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

export type OutboxMessage = Omit<Selectable<OutboxTable>, 'leased_until'>;
export const MESSAGE_STATES = ['waiting', 'sent', 'failed', 'dropped'] as const;

/** Messages to the world outside in one state, the newest first; those from `before` on are left out. */
export async function listMessages(
  { db }: Pick<Store, 'db'>,
  asked: { readonly state: OutboxMessage['state']; readonly limit: number; readonly before?: Date },
): Promise<OutboxMessage[]> {
  const { before } = asked;
  return db
    .selectFrom('outbox')
    .select(['id', 'channel', 'kind', 'subject_id', 'state', 'attempts', 'created_at', 'due_at'])
    .select(['finished_at', 'last_error'])
    .where('state', '=', asked.state)
    .$if(before !== undefined, (query) => query.where('created_at', '<', before!))
    .orderBy('created_at', 'desc')
    .limit(asked.limit)
    .execute();
}

/**
 * Sends a message again that was given up, from the first attempt on and by its id, so that a receiver which did take it
 * recognises it. One that waits already is acknowledged as well.
 */
export async function retryMessage(store: Store, messageId: string): Promise<Result<{ id: string }, Refusal>> {
  const row = await store.db
    .updateTable('outbox')
    .set({
      state: 'waiting',
      attempts: 0,
      due_at: sql<Date>`clock_timestamp()`,
      leased_until: null,
      finished_at: null,
    })
    .where('id', '=', messageId)
    .where('state', '=', 'failed')
    .returning('id')
    .executeTakeFirst();
  if (row === undefined) return findWaiting(store, messageId);
  await store.ephemeral
    .publish(CHANNELS.delivery, '')
    .catch((error: unknown) => store.log.warn({ err: error }, 'the outbox was not woken; it looks every second'));
  return accepted(row);
}

async function findWaiting({ db }: Store, id: string): Promise<Result<{ id: string }, Refusal>> {
  const row = await db
    .selectFrom('outbox')
    .select('id')
    .where('id', '=', id)
    .where('state', '=', 'waiting')
    .executeTakeFirst();
  return row === undefined
    ? refused(refusal('not_found', 'There is no message with this id that was given up or waits.'))
    : accepted(row);
}
