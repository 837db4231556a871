import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { transact } from '../../store/transact.ts';
import { CHANNELS } from '../../store/wake.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import type { StreamChange } from '../../wire/ssf_1_0.ts';
import { deliveryColumns } from './make_stream.ts';
import { lockStream, logSize, type Stream, streamConfiguration } from './stream.ts';

export interface StreamOwner {
  readonly receiver: string;
  readonly apiTokenId: string;
}

export const NO_STREAM = refusal('not_found', 'This receiver has no stream with this id.');

/** Changes what is named (PATCH), or everything a receiver decides (PUT): what is left out is taken back then. */
export async function changeStream(
  store: Store,
  owner: StreamOwner,
  input: { readonly change: StreamChange; readonly isWhole: boolean; readonly allowedHosts: readonly string[] },
): Promise<Result<Stream, Refusal>> {
  const { change, isWhole, allowedHosts } = input;
  return transact(store, async (tx, afterCommit) => {
    const stream = await lockStream(tx, owner.receiver, change.stream_id);
    if (stream === undefined) return refused(NO_STREAM);
    const expected = checkExpected(store, stream, change);
    if (!expected.ok) return expected;
    const isDeliveryChanged = isWhole || change.delivery !== undefined;
    const delivery = isDeliveryChanged ? deliveryColumns(store, change.delivery, allowedHosts) : accepted({});
    if (!delivery.ok) return delivery;
    const { events_requested, description } = change;
    const changed = await tx
      .updateTable('signal_streams')
      .set({
        ...delivery.value,
        ...(isDeliveryChanged ? { ...NOTHING_FAILED, ...LEASE_ENDED } : {}),
        ...(isWhole || events_requested !== undefined
          ? { events_requested: JSON.stringify(events_requested ?? []) }
          : {}),
        ...(isWhole || description !== undefined ? { description: description ?? null } : {}),
        updated_at: sql<Date>`clock_timestamp()`,
      })
      .where('id', '=', stream.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'signal_stream.changed',
      ids: {
        stream: stream.id,
        what: 'configuration',
        method: changed.method,
        by: owner.apiTokenId,
        by_kind: 'api_token',
      },
      personal: { endpoint: changed.endpoint },
    });
    announce(store, afterCommit);
    return accepted(changed);
  });
}

/** Another address, or the same one once more, begins with a clean slate. */
const NOTHING_FAILED = { failures: 0, failing_since: null, last_error: null, retry_at: sql<Date>`clock_timestamp()` };
/** Whoever pushes to it now reads it anew before the next message. */
const LEASE_ENDED = { lease_number: sql<number>`lease_number + 1`, leased_until: null };

/** SSF 1.0 §8.1.1.3: what we supply may come along, but cannot be changed. */
function checkExpected(store: Store, stream: Stream, change: StreamChange): Result<null, Refusal> {
  const ours = streamConfiguration(store.issuer, stream);
  for (const name of ['iss', 'aud', 'events_supported', 'events_delivered', 'min_verification_interval'] as const) {
    const given = change[name];
    if (given !== undefined && JSON.stringify(given) !== JSON.stringify(ours[name])) {
      return refused(refusal('request_invalid', `"${name}" is decided here, and is ${JSON.stringify(ours[name])}.`));
    }
  }
  return accepted(null);
}

/**
 * SSF 1.0 §8.1.2: `paused` keeps what waits and what comes; `disabled` drops it, and begins with what is sealed after it
 * was enabled again.
 */
export async function changeStatus(
  store: Store,
  owner: StreamOwner,
  change: { readonly streamId: string; readonly status: Stream['status']; readonly reason: string | null },
): Promise<Result<Stream, Refusal>> {
  return transact(store, async (tx, afterCommit) => {
    const stream = await lockStream(tx, owner.receiver, change.streamId);
    if (stream === undefined) return refused(NO_STREAM);
    if (change.status === 'disabled') await dropWaiting(tx, stream.id);
    const startsAnew = stream.status === 'disabled' && change.status !== 'disabled';
    const changed = await tx
      .updateTable('signal_streams')
      .set({
        status: change.status,
        status_reason: change.reason,
        ...(startsAnew ? { position: await logSize(tx) } : {}),
        ...(change.status === 'enabled' ? NOTHING_FAILED : {}),
        updated_at: sql<Date>`clock_timestamp()`,
      })
      .where('id', '=', stream.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'signal_stream.changed',
      ids: { stream: stream.id, what: 'status', status: change.status, by: owner.apiTokenId, by_kind: 'api_token' },
      ...(change.reason === null ? {} : { personal: { reason: change.reason } }),
    });
    announce(store, afterCommit);
    return accepted(changed);
  });
}

async function dropWaiting(tx: Tx, streamId: string): Promise<void> {
  await tx.deleteFrom('signal_messages').where('stream_id', '=', streamId).where('state', '=', 'waiting').execute();
}

function announce(store: Store, afterCommit: AfterCommit): void {
  afterCommit(() => store.ephemeral.publish(CHANNELS.signals, ''));
}
