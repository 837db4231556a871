import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import type { ClockWatch } from './clock.ts';
import { READY_MS_MAX } from './limits.ts';

/** Why this process should get no requests. */
export interface Unready {
  readonly reason: 'starting' | 'draining' | 'database' | 'clock' | 'keys';
  /** What an operator does about it. */
  readonly detail: string;
}

export interface Readiness {
  /** Undefined when the process can decide. Answers within `READY_MS_MAX`, whatever PostgreSQL does. */
  check(): Promise<Unready | undefined>;
  started(): void;
  drain(): void;
}

export function createReadiness(options: {
  readonly clock: ClockWatch;
  readonly log: Logger;
  /** False when the signing keys could not be read for longer than they may be trusted. */
  readonly areKeysCurrent?: () => boolean;
}): Readiness {
  const { clock, log } = options;
  let phase: 'starting' | 'serving' | 'draining' = 'starting';
  return {
    started() {
      if (phase === 'starting') phase = 'serving';
    },
    drain() {
      phase = 'draining';
    },
    async check() {
      if (phase === 'starting') return { reason: 'starting', detail: 'This process is still starting.' };
      if (phase === 'draining') return { reason: 'draining', detail: 'This process is about to end.' };
      if (!(await answersInTime(clock, log))) {
        return { reason: 'database', detail: 'PostgreSQL does not answer. See the log, and database.url.' };
      }
      if (!clock.isTrusted()) return { reason: 'clock', detail: clockProblem(clock) };
      if (options.areKeysCurrent?.() === false) {
        return { reason: 'keys', detail: 'The signing keys could not be read again for too long. See the log.' };
      }
      return undefined;
    },
  };
}

export function clockProblem(clock: ClockWatch): string {
  const offsetMs = clock.offsetMs();
  if (offsetMs === undefined) return 'The clock of this node has not been compared with that of the database yet.';
  const seconds = Math.round(offsetMs / 1000);
  const direction = seconds < 0 ? 'behind' : 'ahead of';
  return `The clock of this node is ${Math.abs(seconds)} s ${direction} that of the database. Correct it (NTP).`;
}

async function answersInTime(clock: ClockWatch, log: Logger): Promise<boolean> {
  const late = new AbortController();
  const asked = clock.measure().then(
    () => true,
    (error: unknown) => {
      log.error({ err: error }, 'not ready: PostgreSQL does not answer');
      return false;
    },
  );
  const gaveUp = sleep(READY_MS_MAX, false, { signal: late.signal }).catch(() => false);
  const answered = await Promise.race([asked, gaveUp]);
  late.abort();
  return answered;
}
