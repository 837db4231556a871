import { sql } from 'kysely';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { timeOf } from './append.ts';
import type { NewEvent } from './event_body.ts';
import { eventRow } from './event_row.ts';
import { ringSealer } from './sealer_bell.ts';

/** As `append`, for any number of events in one statement and in their order. None has a personal part. */
export async function appendAll(
  store: Pick<Store, 'vault' | 'ephemeral'>,
  tx: Tx,
  afterCommit: AfterCommit,
  events: readonly Omit<NewEvent, 'personal'>[],
): Promise<void> {
  if (events.length === 0) return;
  const at = await timeOf(tx);
  const rows = events.map((event) => eventRow(store, event, at));
  await sql`insert into events (kind, body, body_digest, mac, at)
    select kind, body, body_digest, mac, ${at}::timestamptz from unnest(
      ${rows.map((row) => row.kind)}::text[], ${rows.map((row) => row.body)}::text[],
      ${rows.map((row) => row.body_digest)}::text[], ${rows.map((row) => row.mac)}::bytea[])
      with ordinality as event (kind, body, body_digest, mac, number)
    order by number`.execute(tx);
  afterCommit(() => ringSealer(store));
}
