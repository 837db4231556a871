import { monitorEventLoopDelay } from 'node:perf_hooks';
import { EVENT_LOOP_RESOLUTION_MS, EVENT_LOOP_WINDOW_MS } from './limits.ts';

const NANOSECONDS_PER_MS = 1e6;

export interface EventLoopDelay {
  /** How late the event loop was, in the mean of the last window. */
  ms(): number;
  stop(): void;
}

/** Measures all the time, so that asking costs nothing. */
export function watchEventLoopDelay(): EventLoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS });
  histogram.enable();
  let delayMs = 0;
  const timer = setInterval(() => {
    // The histogram counts the interval of its own timer as delay.
    const mean = histogram.count === 0 ? 0 : histogram.mean / NANOSECONDS_PER_MS;
    delayMs = Math.max(0, mean - EVENT_LOOP_RESOLUTION_MS);
    histogram.reset();
  }, EVENT_LOOP_WINDOW_MS);
  timer.unref();
  return {
    ms: () => delayMs,
    stop() {
      clearInterval(timer);
      histogram.disable();
    },
  };
}
