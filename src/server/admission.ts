import type { Place } from '../kernel/parking.ts';
import { EVENT_LOOP_DELAY_MS_MAX, REQUESTS_MIN } from './limits.ts';

/** A place among the requests that are worked on. `leave` once, when the work is done. */
export interface Ticket extends Place {
  leave(): void;
}

export interface Admission {
  /** Undefined when as many are worked on as may be: turn the request away. Constant time, no queue. */
  enter(): Ticket | undefined;
  /** How many are worked on now, those that only wait not counted. */
  readonly working: number;
}

/**
 * Bounds the work under way, so that what is let in is answered in time and the rest is told at once to come again. There
 * is no queue: one would only add its length to every answer. When the event loop falls behind, fewer are let in.
 */
export function createAdmission(options: {
  readonly requestsMax: number;
  readonly eventLoopDelayMs: () => number;
}): Admission {
  let working = 0;
  return {
    get working() {
      return working;
    },
    enter() {
      if (working >= placesFor(options.requestsMax, options.eventLoopDelayMs())) return undefined;
      working += 1;
      let parked = 0;
      let isGone = false;
      return {
        park() {
          parked += 1;
          if (!isGone && parked === 1) working -= 1;
        },
        // Who comes back gets its place again, also when others took all: turning it away now would waste its work.
        resume() {
          parked -= 1;
          if (!isGone && parked === 0) working += 1;
        },
        leave() {
          if (!isGone && parked === 0) working -= 1;
          isGone = true;
        },
      };
    },
  };
}

/** All places while the event loop keeps up; beyond that in proportion to how late it is. */
export function placesFor(requestsMax: number, delayMs: number): number {
  if (delayMs <= EVENT_LOOP_DELAY_MS_MAX) return requestsMax;
  return Math.max(REQUESTS_MIN, Math.floor((requestsMax * EVENT_LOOP_DELAY_MS_MAX) / delayMs));
}
