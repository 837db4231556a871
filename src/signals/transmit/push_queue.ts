import { sql } from 'kysely';
import type { Store } from '../../store/store.ts';

// One process at a time pushes to a stream, since a receiver gets events in order. Its lease has a number: what a process
// records that lost its lease meanwhile (it stood still) counts no more.

export interface ClaimedStream {
  readonly id: string;
  readonly leaseNumber: number;
  readonly endpoint: string;
  readonly authorizationSealed: Buffer | null;
  readonly failures: number;
}

export interface ClaimedMessage {
  readonly jti: string;
  readonly claims: string;
  readonly attempts: number;
}

/** Takes streams that have something to push, leaving to others what others are at. */
export async function claimStreams(
  store: Store,
  options: { readonly max: number; readonly leaseMs: number },
): Promise<ClaimedStream[]> {
  const { rows } = await sql<ClaimedStream>`
    with due as materialized (
      select s.id from signal_streams s
      where s.method = 'push' and s.status = 'enabled' and s.retry_at <= statement_timestamp()
        and (s.leased_until is null or s.leased_until <= statement_timestamp())
        and exists (select from signal_messages m where m.stream_id = s.id and m.state = 'waiting')
      order by s.retry_at limit ${options.max} for update skip locked
    )
    update signal_streams set lease_number = lease_number + 1,
      leased_until = clock_timestamp() + make_interval(secs => ${options.leaseMs / 1000})
    from due where signal_streams.id = due.id
    returning signal_streams.id, lease_number as "leaseNumber", endpoint,
      authorization_sealed as "authorizationSealed", failures`.execute(store.db);
  return rows;
}

/** The next message to push, and the lease anew; undefined if there is none, or the stream is another's or paused by now. */
export async function nextMessage(
  store: Store,
  stream: ClaimedStream,
  leaseMs: number,
): Promise<ClaimedMessage | undefined> {
  const { rows } = await sql<ClaimedMessage>`
    with held as (
      update signal_streams set leased_until = clock_timestamp() + make_interval(secs => ${leaseMs / 1000})
      where id = ${stream.id} and lease_number = ${stream.leaseNumber} and status = 'enabled' and method = 'push'
      returning id
    ), next as (
      select jti from signal_messages where stream_id = (select id from held) and state = 'waiting'
      order by sequence_number limit 1
    )
    update signal_messages set attempts = attempts + 1 from next where signal_messages.jti = next.jti
    returning signal_messages.jti, claims, attempts`.execute(store.db);
  return rows[0];
}

/** It arrived: nobody needs it any more. */
export async function recordDelivered(store: Store, stream: ClaimedStream, jti: string): Promise<void> {
  await sql`
    with gone as (delete from signal_messages where jti = ${jti} and stream_id = ${stream.id})
    update signal_streams set failures = 0, failing_since = null, last_error = null,
      last_delivered_at = clock_timestamp()
    where id = ${stream.id}`.execute(store.db);
}

/** The receiver as a whole failed: nothing is pushed to it before `delayMs` have passed. */
export async function recordFailure(
  store: Store,
  stream: ClaimedStream,
  failure: { readonly reason: string; readonly delayMs: number },
): Promise<void> {
  await sql`
    update signal_streams set failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()),
      last_error = ${failure.reason},
      retry_at = clock_timestamp() + make_interval(secs => ${failure.delayMs / 1000}), leased_until = null
    where id = ${stream.id} and lease_number = ${stream.leaseNumber}`.execute(store.db);
}

/**
 * The receiver refused this very message. After `refusalsMax` times it is a dead letter, and those behind it go out;
 * before that, nothing is pushed for `delayMs`. Answers whether it is one now.
 */
export async function recordRefusal(
  store: Store,
  stream: ClaimedStream,
  refused: { readonly jti: string; readonly reason: string; readonly delayMs: number; readonly refusalsMax: number },
): Promise<boolean> {
  const { jti, reason, delayMs, refusalsMax } = refused;
  const { rows } = await sql<{ state: 'waiting' | 'failed' }>`
    with told as (
      update signal_messages set refusals = refusals + 1, last_error = ${reason},
        state = case when refusals + 1 >= ${refusalsMax} then 'failed' else state end
      where jti = ${jti} and state = 'waiting' and exists (
        select from signal_streams where id = ${stream.id} and lease_number = ${stream.leaseNumber})
      returning state
    )
    update signal_streams set last_error = ${reason}, retry_at = case told.state
      when 'failed' then clock_timestamp() else clock_timestamp() + make_interval(secs => ${delayMs / 1000}) end,
      leased_until = null
    from told where id = ${stream.id}
    returning told.state as state`.execute(store.db);
  return rows[0]?.state === 'failed';
}

/** Gives up what waited, and what its receiver failed to take, for longer than `seconds`. Answers how many messages. */
export async function giveUpOld(store: Store, stream: ClaimedStream, seconds: number): Promise<number> {
  const { numAffectedRows } = await sql`
    update signal_messages m set state = 'failed', last_error = s.last_error
    from signal_streams s
    where s.id = ${stream.id} and s.lease_number = ${stream.leaseNumber} and m.stream_id = s.id
      and m.state = 'waiting' and s.failing_since is not null
      and greatest(m.created_at, s.failing_since) <= clock_timestamp() - make_interval(secs => ${seconds})
    `.execute(store.db);
  return Number(numAffectedRows ?? 0n);
}

/** Others may push to it now. */
export async function release(store: Store, stream: ClaimedStream): Promise<void> {
  await store.db
    .updateTable('signal_streams')
    .set({ leased_until: null })
    .where('id', '=', stream.id)
    .where('lease_number', '=', stream.leaseNumber)
    .execute();
}
