import { sql } from 'kysely';
import type { Store } from '../store/store.ts';
import type { NewEvent } from './event_body.ts';
import { type EventRow, eventRow } from './event_row.ts';
import { RECORDED_TOGETHER_MAX } from './limits.ts';
import { ringSealer } from './sealer_bell.ts';

type EventLog = Pick<Store, 'db' | 'vault' | 'ephemeral'>;

/** The place of an issued token in the status lists, which is kept with the event that it was issued. */
export interface IssuedStatus {
  readonly jti: string;
  readonly number: number;
  readonly delegationId: string;
  readonly expiresAt: Date;
}

interface Waiting {
  readonly row: EventRow;
  readonly status: IssuedStatus | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Queue {
  readonly waiting: Waiting[];
  isWriting: boolean;
}

const queues = new WeakMap<Store['db'], Queue>();

/**
 * Writes an event that nothing else commits with, and resolves when it is durable; what changes state uses `append`. `at`
 * is the clock of PostgreSQL when the thing happened. Those that come while one write is under way share the next one:
 * a single statement, so a single commit, for many callers. Rejects for all of them if it fails.
 */
export function record(
  store: EventLog,
  event: Omit<NewEvent, 'personal'>,
  at: Date,
  status?: IssuedStatus,
): Promise<void> {
  const row = eventRow(store, event, at);
  const queue = queueOf(store);
  return new Promise((resolve, reject) => {
    queue.waiting.push({ row, status, resolve, reject });
    if (!queue.isWriting) void writeAll(store, queue);
  });
}

function queueOf({ db }: EventLog): Queue {
  const known = queues.get(db);
  if (known !== undefined) return known;
  const queue: Queue = { waiting: [], isWriting: false };
  queues.set(db, queue);
  return queue;
}

async function writeAll(store: EventLog, queue: Queue): Promise<void> {
  queue.isWriting = true;
  while (queue.waiting.length > 0) {
    const batch = queue.waiting.splice(0, RECORDED_TOGETHER_MAX);
    try {
      await insertAll(store.db, batch);
    } catch (error) {
      for (const { reject } of batch) reject(error);
      continue;
    }
    for (const { resolve } of batch) resolve();
    ringSealer(store);
  }
  queue.isWriting = false;
}

// One text however many there are, so that every connection prepares it once; another where tokens have a status.
async function insertAll(db: Store['db'], batch: readonly Waiting[]): Promise<void> {
  const rows = batch.map(({ row }) => row);
  const events = sql`insert into events (kind, body, body_digest, mac, at)
    select * from unnest(
      ${rows.map((row) => row.kind)}::text[], ${rows.map((row) => row.body)}::text[],
      ${rows.map((row) => row.body_digest)}::text[], ${rows.map((row) => row.mac)}::bytea[],
      ${rows.map((row) => row.at)}::timestamptz[])`;
  const issued = batch.flatMap(({ status, row }) => (status === undefined ? [] : [{ ...status, at: row.at }]));
  if (issued.length === 0) {
    await events.execute(db);
    return;
  }
  await sql`with recorded as (${events})
    insert into token_statuses (jti, status_index, delegation_id, issued_at, expires_at)
    select * from unnest(
      ${issued.map((one) => one.jti)}::text[], ${issued.map((one) => one.number)}::bigint[],
      ${issued.map((one) => one.delegationId)}::text[], ${issued.map((one) => one.at)}::timestamptz[],
      ${issued.map((one) => one.expiresAt)}::timestamptz[])`.execute(db);
}
