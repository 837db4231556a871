import { sql } from 'kysely';
import type { Logger } from '../kernel/logger.ts';
import type { Unsubscribe } from '../store/ephemeral.ts';
import type { Store, Tx } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import { createAlarm } from './alarm.ts';
import type { EventBody } from './event_body.ts';
import type { EventKind } from './kinds.ts';
import {
  FOLLOW_BACK_EVENTS,
  FOLLOW_EVENTS_MAX,
  FOLLOW_POLL_MS,
  HEAD_AGE_MS_MAX,
  HEADS_KEPT_MAX,
  UNSEALED_MS_MAX,
} from './limits.ts';

/** A sealed event. Positions have no gaps; a follower of some kinds is handed only those. */
export interface FollowedEvent {
  readonly position: number;
  readonly kind: string;
  readonly ids: EventBody['ids'];
  readonly at: Date;
}

/** Where the sealed log stands. */
export interface LogHead {
  /** Another epoch is another log, whatever its positions say. */
  readonly epoch: string;
  /** How many events are sealed: what has a smaller position was handed on. */
  readonly position: number;
  /** The RFC 6962 root of these events: two logs of the same length and root are the same log. */
  readonly root: string;
  /** The clock of PostgreSQL now, as it was read with the head. */
  readonly serverTime: Date;
}

export interface LogFollower {
  /** The last head that was read. Throws before `start`. */
  head(): LogHead;
  /** Why the head says nothing of what was revoked by now; null in normal running. */
  problem(): string | null;
  /** Hands on every sealed event once, in order of position, in bounded batches. A listener that throws misses its batch. */
  onEvents(listener: (events: readonly FollowedEvent[]) => void): Unsubscribe;
  /** At the start, and when the log turns out to be another one: events are handed on from this position. */
  onResync(listener: (from: number) => void): Unsubscribe;
  /** Reads now: resolves when what was sealed before this call has been handed on. */
  catchUp(): Promise<void>;
  /** Whether this log had this root when it had so many events. */
  hadRoot(position: number, root: string): Promise<boolean>;
  /** Resolves after the first read; rejects if PostgreSQL does not answer. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface Seen extends Omit<LogHead, 'serverTime'> {
  readonly databaseTime: Date;
  readonly readAtMs: number;
  /** The oldest event without a position, and since when it is known to wait. */
  readonly waiting: { readonly id: number; readonly sinceMs: number } | null;
}

type Options = { readonly kinds?: readonly EventKind[] };

/**
 * Follows the sealed log for one process: woken when something was sealed, and by reading every 500 ms what no wake-up
 * announced. It reads by `position`, which only committed events have; by `id`, what commits late would be lost.
 */
export function createLogFollower(
  store: Pick<Store, 'db' | 'ephemeral'>,
  log: Logger,
  options: Options = {},
): LogFollower {
  return new PositionFollower(store, log, options);
}

class PositionFollower implements LogFollower {
  readonly #store: Pick<Store, 'db' | 'ephemeral'>;
  readonly #log: Logger;
  readonly #kinds: readonly EventKind[] | undefined;
  readonly #alarm = createAlarm();
  readonly #eventListeners = new Set<(events: readonly FollowedEvent[]) => void>();
  readonly #resyncListeners = new Set<(from: number) => void>();
  /** The roots of the last heads, by position. */
  readonly #roots = new Map<number, string>();
  #seen: Seen | null = null;
  /** What has a smaller position was handed on. */
  #delivered = 0;
  #isStopped = false;
  #running: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  #looping: Promise<void> | undefined;
  #subscription: Unsubscribe | undefined;

  constructor(store: Pick<Store, 'db' | 'ephemeral'>, log: Logger, { kinds }: Options) {
    this.#store = store;
    this.#log = log;
    this.#kinds = kinds;
  }

  head(): LogHead {
    if (this.#seen === null) throw new Error('The log was not read yet: start the follower first.');
    const { epoch, position, root, databaseTime, readAtMs } = this.#seen;
    return { epoch, position, root, serverTime: new Date(databaseTime.getTime() + performance.now() - readAtMs) };
  }

  problem(): string | null {
    return problemOf(this.#seen);
  }

  onEvents(listener: (events: readonly FollowedEvent[]) => void): Unsubscribe {
    this.#eventListeners.add(listener);
    return () => this.#eventListeners.delete(listener);
  }

  onResync(listener: (from: number) => void): Unsubscribe {
    this.#resyncListeners.add(listener);
    return () => this.#resyncListeners.delete(listener);
  }

  // One read at a time; callers that come during one share the next.
  catchUp(): Promise<void> {
    this.#queued ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#queued = undefined;
        this.#running = this.#read();
        return this.#running;
      });
    return this.#queued;
  }

  async hadRoot(position: number, root: string): Promise<boolean> {
    if (position === 0) return root === '';
    return (this.#roots.get(position) ?? (await readRoot(this.#store.db, position))) === root;
  }

  async start(): Promise<void> {
    await this.#subscribe();
    await this.catchUp();
    this.#looping = this.#follow();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#alarm.end();
    await this.#looping;
    this.#subscription?.();
  }

  async #follow(): Promise<void> {
    let isFailing = false;
    while (!this.#isStopped) {
      await this.#subscribe();
      this.#alarm.wasRung();
      try {
        await this.catchUp();
        isFailing = false;
      } catch (error) {
        if (!isFailing) this.#log.error({ err: error }, 'the event log cannot be read; it is tried again until it can');
        isFailing = true;
      }
      await this.#alarm.wait(FOLLOW_POLL_MS);
    }
  }

  async #subscribe(): Promise<void> {
    try {
      this.#subscription ??= await this.#store.ephemeral.subscribe(CHANNELS.outbox, this.#alarm.ring);
    } catch (error) {
      this.#log.debug({ err: error }, 'new events of the log are not announced to this process; it looks for them');
    }
  }

  async #read(): Promise<void> {
    const { db } = this.#store;
    const { isSameLog, ...next } = await readHead(db, this.#seen);
    if (!isSameLog) this.#startAnew(next);
    while (this.#delivered < next.position) {
      const to = Math.min(next.position, this.#delivered + FOLLOW_EVENTS_MAX);
      const events = await readEvents(db, this.#delivered, to, this.#kinds);
      this.#delivered = to;
      if (events.length > 0) this.#tell(this.#eventListeners, events);
    }
    this.#roots.set(next.position, next.root);
    if (this.#roots.size > HEADS_KEPT_MAX) this.#roots.delete(this.#roots.keys().next().value!);
    this.#seen = next;
  }

  #startAnew({ epoch, position }: Seen): void {
    if (this.#seen !== null) {
      this.#log.warn(
        { epoch, position, position_before: this.#seen.position },
        'the event log is not the one that was read before (restored, or failed over): all readers start anew',
      );
    }
    this.#roots.clear();
    this.#delivered = Math.max(0, position - FOLLOW_BACK_EVENTS);
    this.#tell(this.#resyncListeners, this.#delivered);
  }

  #tell<Value>(listeners: ReadonlySet<(value: Value) => void>, value: Value): void {
    for (const listener of listeners) {
      try {
        listener(value);
      } catch (error) {
        this.#log.error({ err: error }, 'a reader of the event log failed; it goes on with the events after these');
      }
    }
  }
}

function problemOf(seen: Seen | null): string | null {
  if (seen === null) return 'The event log was not read yet.';
  const ageMs = performance.now() - seen.readAtMs;
  if (ageMs > HEAD_AGE_MS_MAX) return `The event log could not be read for ${Math.round(ageMs / 1000)} s.`;
  const waitedMs = seen.waiting === null ? 0 : performance.now() - seen.waiting.sinceMs;
  if (waitedMs > UNSEALED_MS_MAX) return `Events have not been sealed for ${Math.round(waitedMs / 1000)} s.`;
  return null;
}

interface HeadRow {
  readonly epoch: string;
  readonly size: number | null;
  readonly root: string | null;
  readonly known_root: string | null;
  readonly waiting_id: number | null;
  readonly at: Date;
}

/** One statement, so that all of it is of one moment. The checkpoint of a size commits with its positions. */
async function readHead(db: Store['db'], seen: Seen | null): Promise<Seen & { readonly isSameLog: boolean }> {
  const { rows } = await sql<HeadRow>`
    select s.value #>> '{}' as epoch, h.size, h.root, k.root as known_root, clock_timestamp() as at,
      (select id from events where position is null order by id limit 1) as waiting_id
    from settings s
    left join lateral (select size, root from checkpoints order by size desc limit 1) h on true
    left join checkpoints k on k.size = ${seen?.position ?? 0}
    where s.name = 'log_epoch'`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('The database has no "log_epoch" in its settings. Run: countersign migrate');
  const readAtMs = performance.now();
  const isWaitingStill = row.waiting_id !== null && row.waiting_id === seen?.waiting?.id;
  const waiting = row.waiting_id === null ? null : { id: row.waiting_id, sinceMs: readAtMs };
  const position = row.size ?? 0;
  return {
    epoch: row.epoch,
    position,
    root: row.root ?? '',
    databaseTime: row.at,
    readAtMs,
    waiting: isWaitingStill ? seen!.waiting : waiting,
    isSameLog:
      seen !== null &&
      row.epoch === seen.epoch &&
      position >= seen.position &&
      (seen.position === 0 || row.known_root === seen.root),
  };
}

/** The events at positions `from` to before `to`, in order; of these kinds only, where some are named. */
export async function readEvents(
  db: Store['db'] | Tx,
  from: number,
  to: number,
  kinds: readonly EventKind[] | undefined,
): Promise<FollowedEvent[]> {
  const rows = await db
    .selectFrom('events')
    .select(['position', 'kind', 'body', 'at'])
    .where('position', '>=', from)
    .where('position', '<', to)
    .$if(kinds !== undefined, (query) => query.where(sql<boolean>`kind = any(${kinds}::text[])`))
    .orderBy('position')
    .execute();
  return rows.map(({ position, kind, body, at }) => ({
    position: position!,
    kind,
    ids: (JSON.parse(body) as EventBody).ids,
    at,
  }));
}

async function readRoot(db: Store['db'], position: number): Promise<string | undefined> {
  const row = await db.selectFrom('checkpoints').select('root').where('size', '=', position).executeTakeFirst();
  return row?.root;
}
