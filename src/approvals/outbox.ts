import { sql } from 'kysely';
import { newId } from '../kernel/ids.ts';
import type { MessageTopic } from '../model/rules.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import type { MessageKind, OffboardingMessageKind, StepUpMessageKind } from './channel.ts';
import { OUTBOX_KEPT_DAYS, OUTBOX_PRUNE_BATCH } from './limits.ts';

// At least once, by a stable id. The row is written with what it tells of; one process at a time holds its lease; and a
// process that dies between sending and recording leaves the row waiting, so that it goes out again with the same id.

/**
 * In the caller's transaction: one message per channel for this step-up, however often it is asked for. A decision about
 * a step-up that never opened is told to nobody, since nobody was told of the request.
 */
export async function enqueue(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  { kind, stepUpId }: { readonly kind: StepUpMessageKind; readonly stepUpId: string },
): Promise<void> {
  await enqueueAll(store, tx, afterCommit, { kind, stepUpIds: [stepUpId] });
}

/** As `enqueue`, for any number of step-ups. */
export async function enqueueAll(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  { kind, stepUpIds }: { readonly kind: StepUpMessageKind; readonly stepUpIds: readonly string[] },
): Promise<void> {
  if (stepUpIds.length === 0 || !store.rules.toldOf.includes('step_ups')) return;
  for (const channel of store.rules.channels) {
    await sql`insert into outbox (id, channel, kind, subject_id)
      select message.id, ${channel}, ${kind}, s.id
      from unnest(${stepUpIds.map(() => newId('msg'))}::text[], ${stepUpIds}::text[]) as message (id, step_up_id)
      join step_ups s on s.id = message.step_up_id and s.opened_at is not null
      order by s.id
      on conflict (channel, kind, subject_id) do nothing`.execute(tx);
  }
  afterCommit(() => store.ephemeral.publish(CHANNELS.delivery, ''));
}

const TOPICS: Readonly<Record<OffboardingMessageKind, MessageTopic>> = {
  'agent.offboarded': 'offboarding',
  'person.offboarded': 'offboarding',
  'task.ended': 'tasks',
};

/**
 * In the caller's transaction: one message per channel for each of these. A person may be offboarded again, and then it is
 * told again, by another id.
 */
export async function enqueueOffboarding(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  { kind, subjectIds }: { readonly kind: OffboardingMessageKind; readonly subjectIds: readonly string[] },
): Promise<void> {
  if (subjectIds.length === 0 || !store.rules.toldOf.includes(TOPICS[kind])) return;
  for (const channel of store.rules.channels) {
    await sql`insert into outbox (id, channel, kind, subject_id)
      select id, ${channel}, ${kind}, subject_id
      from unnest(${subjectIds.map(() => newId('msg'))}::text[], ${subjectIds}::text[]) as message (id, subject_id)
      order by subject_id
      on conflict (channel, kind, subject_id) do update set id = excluded.id, state = 'waiting', attempts = 0,
        created_at = clock_timestamp(), due_at = clock_timestamp(), leased_until = null, finished_at = null,
        last_error = null`.execute(tx);
  }
  afterCommit(() => store.ephemeral.publish(CHANNELS.delivery, ''));
}

/** A message this process may send until its lease ends. */
export interface Claimed {
  readonly id: string;
  readonly kind: MessageKind;
  readonly subjectId: string;
  /** Counts this one. */
  readonly attempts: number;
}

/**
 * Takes messages that are due, leaving those to others that others are taking. None while the receiver wants to be left
 * alone; and no decision while the news of its request is on its way, which it would overtake.
 */
export async function claim(
  store: Store,
  channel: string,
  options: { readonly max: number; readonly leaseMs: number },
): Promise<Claimed[]> {
  // Materialized: a plan that ran the inner query twice would lease more than it returns.
  const { rows } = await sql<Claimed>`
    with due as materialized (
      select o.id from outbox o
      where o.channel = ${channel} and o.state = 'waiting' and o.due_at <= statement_timestamp()
        and (o.leased_until is null or o.leased_until <= statement_timestamp())
        and not exists (
          select from outbox_pauses p where p.channel = o.channel and p.until > statement_timestamp())
        and not exists (
          select from outbox request
          where o.kind = 'step_up.decided' and request.kind = 'step_up.opened' and request.channel = o.channel
            and request.subject_id = o.subject_id and request.state = 'waiting'
            and request.leased_until > statement_timestamp())
      order by o.due_at limit ${options.max} for update skip locked
    )
    update outbox set attempts = attempts + 1,
      leased_until = clock_timestamp() + make_interval(secs => ${options.leaseMs / 1000})
    from due where outbox.id = due.id
    returning outbox.id, kind, subject_id as "subjectId", attempts`.execute(store.db);
  return rows;
}

/** It arrived, whatever others have noted meanwhile. */
export async function recordSent(store: Store, message: Claimed): Promise<void> {
  await store.db
    .updateTable('outbox')
    .set({ state: 'sent', finished_at: sql<Date>`clock_timestamp()`, leased_until: null, last_error: null })
    .where('id', '=', message.id)
    .execute();
}

export async function recordEnd(
  store: Store,
  message: Claimed,
  end: { readonly state: 'failed' | 'dropped'; readonly reason: string },
): Promise<void> {
  await leased(store, message)
    .set({
      state: end.state,
      finished_at: sql<Date>`clock_timestamp()`,
      leased_until: null,
      last_error: end.reason,
    })
    .execute();
}

export async function recordRetry(
  store: Store,
  message: Claimed,
  retry: { readonly reason: string; readonly delayMs: number },
): Promise<void> {
  await leased(store, message)
    .set({
      due_at: sql<Date>`clock_timestamp() + make_interval(secs => ${retry.delayMs / 1000})`,
      leased_until: null,
      last_error: retry.reason,
    })
    .execute();
}

/** Nothing goes to this receiver before then, from any process. */
export async function pause(store: Store, channel: string, ms: number): Promise<void> {
  await store.db
    .insertInto('outbox_pauses')
    .values({ channel, until: sql<Date>`clock_timestamp() + make_interval(secs => ${ms / 1000})` })
    .onConflict((conflict) =>
      conflict.column('channel').doUpdateSet({ until: sql<Date>`greatest(outbox_pauses.until, excluded.until)` }),
    )
    .execute();
}

/** Deletes old messages, sent or not: those of a channel that is gone from the configuration wait for nobody. */
export async function pruneOutbox(store: Store): Promise<number> {
  const old = store.db
    .selectFrom('outbox')
    .select('id')
    .where('created_at', '<', sql<Date>`clock_timestamp() - make_interval(days => ${OUTBOX_KEPT_DAYS})`)
    .limit(OUTBOX_PRUNE_BATCH);
  const { numDeletedRows } = await store.db.deleteFrom('outbox').where('id', 'in', old).executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}

/** Only while the lease is ours: whoever took the message after it had ended writes what became of it. */
function leased(store: Store, message: Claimed) {
  return store.db
    .updateTable('outbox')
    .where('id', '=', message.id)
    .where('state', '=', 'waiting')
    .where('attempts', '=', message.attempts);
}
