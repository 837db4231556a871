import { sql } from 'kysely';
import type { Logger } from '../kernel/logger.ts';
import type { Unsubscribe } from '../store/ephemeral.ts';
import type { Store } from '../store/store.ts';
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

/**
 * Follows the sealed log for one process: woken when something was sealed, and by reading every 500 ms what no wake-up
 * announced. It reads by `position`, which only committed events have; by `id`, what commits late would be lost.
 */
export function createLogFollower(
  store: Pick<Store, 'db' | 'ephemeral'>,
  log: Logger,
  options: { readonly kinds?: readonly EventKind[] } = {},
): LogFollower {
  const alarm = createAlarm();
  const eventListeners = new Set<(events: readonly FollowedEvent[]) => void>();
  const resyncListeners = new Set<(from: number) => void>();
  const roots = new Map<number, string>();
  let seen: Seen | null = null;
  let delivered = 0;
  let isStopped = false;
  let running: Promise<void> = Promise.resolve();
  let queued: Promise<void> | undefined;
  let looping: Promise<void> | undefined;
  let subscription: Unsubscribe | undefined;

  const tell = <Value>(listeners: ReadonlySet<(value: Value) => void>, value: Value): void => {
    for (const listener of listeners) {
      try {
        listener(value);
      } catch (error) {
        log.error({ err: error }, 'a reader of the event log failed; it goes on with the events after these');
      }
    }
  };
  const readOnce = async (): Promise<void> => {
    const { isSameLog, ...next } = await readHead(store.db, seen);
    if (!isSameLog) {
      if (seen !== null) {
        log.warn(
          { epoch: next.epoch, position: next.position, position_before: seen.position },
          'the event log is not the one that was read before (restored, or failed over): all readers start anew',
        );
      }
      roots.clear();
      delivered = Math.max(0, next.position - FOLLOW_BACK_EVENTS);
      tell(resyncListeners, delivered);
    }
    while (delivered < next.position) {
      const to = Math.min(next.position, delivered + FOLLOW_EVENTS_MAX);
      const events = await readEvents(store.db, delivered, to, options.kinds);
      delivered = to;
      if (events.length > 0) tell(eventListeners, events);
    }
    roots.set(next.position, next.root);
    if (roots.size > HEADS_KEPT_MAX) roots.delete(roots.keys().next().value!);
    seen = next;
  };
  // One read at a time; callers that come during one share the next.
  const catchUp = (): Promise<void> => {
    queued ??= running
      .catch(() => {})
      .then(() => {
        queued = undefined;
        running = readOnce();
        return running;
      });
    return queued;
  };
  const subscribe = async (): Promise<void> => {
    try {
      subscription ??= await store.ephemeral.subscribe(CHANNELS.outbox, alarm.ring);
    } catch (error) {
      log.debug({ err: error }, 'new events of the log are not announced to this process; it looks for them instead');
    }
  };
  const follow = async (): Promise<void> => {
    let isFailing = false;
    while (!isStopped) {
      await subscribe();
      alarm.wasRung();
      try {
        await catchUp();
        isFailing = false;
      } catch (error) {
        if (!isFailing) log.error({ err: error }, 'the event log cannot be read; it is tried again until it can');
        isFailing = true;
      }
      await alarm.wait(FOLLOW_POLL_MS);
    }
    subscription?.();
  };

  return {
    head() {
      if (seen === null) throw new Error('The log was not read yet: start the follower first.');
      const { epoch, position, root, databaseTime, readAtMs } = seen;
      return { epoch, position, root, serverTime: new Date(databaseTime.getTime() + performance.now() - readAtMs) };
    },
    problem: () => problemOf(seen),
    onEvents: (listener) => listen(eventListeners, listener),
    onResync: (listener) => listen(resyncListeners, listener),
    catchUp,
    async hadRoot(position, root) {
      if (position === 0) return root === '';
      const known = roots.get(position) ?? (await readRoot(store.db, position));
      return known === root;
    },
    async start() {
      await subscribe();
      await catchUp();
      looping = follow();
    },
    async stop() {
      isStopped = true;
      alarm.end();
      await looping;
      subscription?.();
    },
  };
}

function listen<Listener>(listeners: Set<Listener>, listener: Listener): Unsubscribe {
  listeners.add(listener);
  return () => listeners.delete(listener);
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

async function readEvents(
  db: Store['db'],
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
