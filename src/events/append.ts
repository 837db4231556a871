import { sql } from 'kysely';
import { sha256Base64url } from '../kernel/digest.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { createPersonalPart, type NewEvent, writeEventBody } from './event_body.ts';
import { ringSealer } from './sealer_bell.ts';

/** The vault's purpose for the MAC that protects an event until a checkpoint covers it. */
export const EVENT_MAC_PURPOSE = 'event';

const times = new WeakMap<Tx, Promise<Date>>();

// What commits together happened together: the events of a transaction carry the time of its first one.
export function timeOf(tx: Tx): Promise<Date> {
  const known = times.get(tx);
  if (known !== undefined) return known;
  const time = sql<{ at: Date }>`select clock_timestamp() as at`.execute(tx).then((clock) => clock.rows[0]!.at);
  times.set(tx, time);
  return time;
}

/** Writes the event in the caller's transaction (invariant 8), and wakes the sealer once that has committed. */
export async function append(
  store: Pick<Store, 'vault' | 'ephemeral'>,
  tx: Tx,
  afterCommit: AfterCommit,
  event: NewEvent,
): Promise<void> {
  const at = await timeOf(tx);
  const part = event.personal === undefined ? null : createPersonalPart(event.personal);
  const body = writeEventBody(event, at, part);
  await tx
    .insertInto('events')
    .values({
      kind: event.kind,
      body,
      body_digest: sha256Base64url(body),
      mac: store.vault.hmac(EVENT_MAC_PURPOSE, body),
      personal: part === null ? null : JSON.stringify(part),
      at,
    })
    .execute();
  afterCommit(() => ringSealer(store));
}
