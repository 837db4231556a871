import { BACK_OFF_FIRST_MS, BACK_OFF_HEALTHY_MS, BACK_OFF_MS_MAX } from './limits.ts';

/** How often in a row a start or a short life failed, and when the next start may be. Pure: the caller brings the time. */
export interface BackOff {
  readonly failures: number;
  readonly notBeforeMs: number;
}

export const NO_BACK_OFF: BackOff = { failures: 0, notBeforeMs: 0 };

/** After a start that failed (`livedMs` 0) or an exit that nobody asked for. A long life clears the record. */
export function afterExit(previous: BackOff, livedMs: number, nowMs: number): BackOff {
  const failures = livedMs >= BACK_OFF_HEALTHY_MS ? 1 : previous.failures + 1;
  // The first crash costs nothing: most are one bad call, and the next call is another one.
  const waitMs = failures === 1 ? 0 : Math.min(BACK_OFF_FIRST_MS * 2 ** (failures - 2), BACK_OFF_MS_MAX);
  return { failures, notBeforeMs: nowMs + waitMs };
}
