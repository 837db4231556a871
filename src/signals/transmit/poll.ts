import type { JWK } from 'jose';
import { sql } from 'kysely';
import type { Store } from '../../store/store.ts';
import { CHANNELS, waitFor } from '../../store/wake.ts';
import type { PollAnswer, PollRequest } from '../../wire/set_poll_rfc8936.ts';
import { knownSetError } from '../../wire/set_push_rfc8935.ts';
import { signSet } from '../../wire/set_rfc8417.ts';
import { POLL_SETS_DEFAULT, POLL_WAIT_POLL_MS, POLL_WAIT_SECONDS } from '../limits.ts';
import type { Stream } from '../streams/stream.ts';

export interface Polling {
  readonly store: Store;
  readonly signer: () => JWK;
  /** The receiver hung up, or this process is about to end. */
  readonly signal: AbortSignal;
}

/**
 * One poll (RFC 8936 §2): what the receiver has is forgotten, what it refused becomes a dead letter, and what waits is
 * handed out, the oldest first, again and again until it is acknowledged. Waits for something unless told not to.
 */
export async function poll(polling: Polling, stream: Stream, request: PollRequest): Promise<PollAnswer> {
  const { store, signer, signal } = polling;
  await takeBack(store, stream.id, request);
  const max = Math.min(request.maxEvents ?? POLL_SETS_DEFAULT, POLL_SETS_DEFAULT);
  if (max === 0) return { sets: {}, moreAvailable: (await readWaiting(store, stream.id, 0)).length > 0 };
  const read = async () => {
    const waiting = await readWaiting(store, stream.id, max);
    return waiting.length > 0 ? waiting : undefined;
  };
  const found = request.returnImmediately
    ? await read()
    : await waitFor(store.ephemeral, CHANNELS.signals, read, {
        timeoutMs: POLL_WAIT_SECONDS * 1_000,
        pollMs: POLL_WAIT_POLL_MS,
        signal,
      });
  const handedOut = (found ?? []).slice(0, max);
  const key = signer();
  const tokens = await Promise.all(
    handedOut.map(async ({ jti, claims }) => [jti, await signSet(claims, key)] as const),
  );
  return { sets: Object.fromEntries(tokens), moreAvailable: (found ?? []).length > max };
}

/** One more than asked for, to know whether there are more. None of a stream that is not enabled. */
function readWaiting(store: Store, streamId: string, max: number): Promise<{ jti: string; claims: string }[]> {
  return store.db
    .selectFrom('signal_messages as m')
    .innerJoin('signal_streams as s', 's.id', 'm.stream_id')
    .select(['m.jti', 'm.claims'])
    .where('s.id', '=', streamId)
    .where('s.status', '=', 'enabled')
    .where('m.state', '=', 'waiting')
    .orderBy('m.sequence_number')
    .limit(max + 1)
    .execute();
}

/** §2.4 and §2.6. Ids of another stream, and of what was taken before, change nothing. */
async function takeBack(store: Store, streamId: string, { ack, setErrs }: PollRequest): Promise<void> {
  if (ack.length > 0) {
    await sql`
      with gone as (
        delete from signal_messages
        where stream_id = ${streamId} and state = 'waiting' and jti = any(${ack}::text[]) returning jti
      )
      update signal_streams set last_delivered_at = clock_timestamp()
      where id = ${streamId} and exists (select from gone)`.execute(store.db);
  }
  const refused = Object.entries(setErrs);
  if (refused.length === 0) return;
  const reasons = refused.map(([, { err }]) => knownSetError(err) ?? 'a code no specification names');
  const { numAffectedRows } = await sql`
    update signal_messages m set state = 'failed', refusals = refusals + 1,
      last_error = 'The receiver refused the event: ' || e.reason || '.'
    from unnest(${refused.map(([jti]) => jti)}::text[], ${reasons}::text[]) as e (jti, reason)
    where m.stream_id = ${streamId} and m.state = 'waiting' and m.jti = e.jti`.execute(store.db);
  if ((numAffectedRows ?? 0n) > 0n) {
    store.log.error(
      { stream: streamId, messages: Number(numAffectedRows), reasons: [...new Set(reasons)] },
      'security events were given up: their receiver refused them',
    );
  }
}
