import { sql } from 'kysely';
import type { Logger } from '../kernel/logger.ts';
import type { Store } from '../store/store.ts';
import { CLOCK_CHECK_MS, CLOCK_OFFSET_MS_MAX } from './limits.ts';

/** This process's two clocks: the one on the wall, which somebody may set, and one that only goes on. */
export interface LocalClocks {
  wall(): number;
  steady(): number;
}

export const LOCAL_CLOCKS: LocalClocks = { wall: () => Date.now(), steady: () => performance.now() };

export interface ClockWatch {
  /** Asks PostgreSQL for its time. Rejects when it does not answer. One question at a time, whoever asks. */
  measure(): Promise<void>;
  /** How far this clock is ahead of PostgreSQL's now, in milliseconds; undefined before the first measure. */
  offsetMs(): number | undefined;
  /** Whether tokens may be made and judged by this clock. */
  isTrusted(): boolean;
  stop(): void;
}

/**
 * Compares this clock with PostgreSQL's, which decides every deadline. Tokens are made and judged by the clock of a node: one
 * that is off would let them live too long (fact F10). Between two measures a step is seen against the steady
 * clock, in the very request after it.
 */
export function watchClock(store: Pick<Store, 'db' | 'log'>, clocks: LocalClocks = LOCAL_CLOCKS): ClockWatch {
  /** What the wall clock is ahead of PostgreSQL's, less what it was ahead of the steady clock then. */
  let base: number | undefined;
  let asking: Promise<void> | undefined;
  let wasTrusted = true;

  const ahead = () => clocks.wall() - clocks.steady();
  const offsetMs = () => (base === undefined ? undefined : base + ahead());
  const isTrusted = () => {
    const offset = offsetMs();
    return offset !== undefined && Math.abs(offset) <= CLOCK_OFFSET_MS_MAX;
  };
  const ask = async () => {
    base = (await readOffset(store.db, clocks)) - ahead();
    if (isTrusted() !== wasTrusted) log(store.log, isTrusted(), offsetMs() ?? 0);
    wasTrusted = isTrusted();
  };
  const measure = () => {
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
  const timer = setInterval(() => {
    // An outage of the database is noticed, and logged, by whoever needs it.
    measure().catch(() => {});
  }, CLOCK_CHECK_MS);
  timer.unref();
  return { measure, offsetMs, isTrusted, stop: () => clearInterval(timer) };
}

/**
 * Taken on a connection that is open already, so that waiting for one is not mistaken for an offset. The answer was made
 * between question and arrival: what lies within that time is no offset.
 */
function readOffset(db: Store['db'], clocks: LocalClocks): Promise<number> {
  return db.connection().execute(async (connection) => {
    const askedAt = clocks.steady();
    const wallBefore = clocks.wall();
    const answer = await sql<{ ms: number }>`
      select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms
    `.execute(connection);
    const tookMs = clocks.steady() - askedAt;
    const early = wallBefore - (answer.rows[0]?.ms ?? Number.NaN);
    const late = early + tookMs;
    if (early > 0) return early;
    return Math.min(late, 0);
  });
}

function log(logger: Logger, isTrusted: boolean, offsetMs: number): void {
  const seconds = Math.round(offsetMs / 100) / 10;
  if (isTrusted) {
    logger.info({ clock_offset_s: seconds }, 'the clock of this node agrees with PostgreSQL again; it serves');
    return;
  }
  logger.error(
    { clock_offset_s: seconds },
    "the clock of this node differs from PostgreSQL's: it serves nobody until that is mended. Check its time synchronization (NTP)",
  );
}
