import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { newId } from '../../kernel/ids.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Store, Tx } from '../../store/store.ts';
import { transact } from '../../store/transact.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import type { StreamDelivery } from '../../wire/ssf_1_0.ts';
import { STREAMS_MAX, STREAMS_PER_RECEIVER_MAX } from '../limits.ts';
import { checkPushEndpoint } from './push_endpoint.ts';
import { AUTHORIZATION_PURPOSE, logSize, type Stream } from './stream.ts';

export interface NewStream {
  readonly receiver: string;
  readonly apiTokenId: string;
  readonly delivery: StreamDelivery | undefined;
  readonly eventsRequested: readonly string[];
  readonly description: string | null;
  readonly allowedHosts: readonly string[];
}

/** Makes a stream that is enabled, and tells of what is sealed from now on. */
export async function makeStream(store: Store, input: NewStream): Promise<Result<Stream, Refusal>> {
  const columns = deliveryColumns(store, input.delivery, input.allowedHosts);
  if (!columns.ok) return columns;
  return transact(store, async (tx, afterCommit) => {
    const room = await checkRoom(tx, input.receiver);
    if (!room.ok) return room;
    const stream = await tx
      .insertInto('signal_streams')
      .values({
        id: newId('ssf'),
        receiver: input.receiver,
        description: input.description,
        ...columns.value,
        events_requested: JSON.stringify(input.eventsRequested),
        status_reason: null,
        position: await logSize(tx),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'signal_stream.made',
      ids: { stream: stream.id, method: stream.method, by: input.apiTokenId, by_kind: 'api_token' },
      personal: { receiver: input.receiver, endpoint: stream.endpoint },
    });
    return accepted(stream);
  });
}

export type DeliveryColumns = Pick<Stream, 'method' | 'endpoint' | 'authorization_sealed'>;

/** How a stream is kept that is delivered so; one that says nothing is polled (SSF 1.0 §8.1.1.1). */
export function deliveryColumns(
  store: Pick<Store, 'vault'>,
  delivery: StreamDelivery | undefined,
  allowedHosts: readonly string[],
): Result<DeliveryColumns, Refusal> {
  if (delivery === undefined || !('endpoint_url' in delivery) || delivery.method === 'urn:ietf:rfc:8936') {
    return accepted({ method: 'poll', endpoint: null, authorization_sealed: null });
  }
  const endpoint = checkPushEndpoint(delivery.endpoint_url, allowedHosts);
  if (!endpoint.ok) return endpoint;
  const header = delivery.authorization_header ?? null;
  return accepted({
    method: 'push',
    endpoint: endpoint.value,
    authorization_sealed: header === null ? null : store.vault.seal(AUTHORIZATION_PURPOSE, header),
  });
}

async function checkRoom(tx: Tx, receiver: string): Promise<Result<null, Refusal>> {
  await sql`select pg_advisory_xact_lock(hashtext('countersign:signal-streams'))`.execute(tx);
  const { rows } = await sql<{ all: number; own: number }>`
    select count(*)::int as all, (count(*) filter (where receiver = ${receiver}))::int as own
    from signal_streams`.execute(tx);
  if (rows[0]!.own >= STREAMS_PER_RECEIVER_MAX) {
    const words = `This receiver has ${STREAMS_PER_RECEIVER_MAX} streams already. Change or delete one of them.`;
    return refused(refusal('conflict', words));
  }
  if (rows[0]!.all < STREAMS_MAX) return accepted(null);
  return refused(refusal('conflict', `There are ${STREAMS_MAX} streams already, which is the most there may be.`));
}
