import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Runs `work` for callers that come together once: after the call of each, one at a time, and not sooner than `ms` after
 * the start of the run before. Nobody is turned away, so that a flood delays the others by `ms` and no more.
 */
export function atMostEvery(ms: number, work: () => Promise<void>): () => Promise<void> {
  let startedAt = Number.NEGATIVE_INFINITY;
  let running: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;
  return () => {
    next ??= running
      .catch(() => {})
      .then(async () => {
        const leftMs = startedAt + ms - performance.now();
        if (leftMs > 0) await sleep(leftMs, undefined, { ref: false });
        next = undefined;
        startedAt = performance.now();
        running = work();
        return running;
      });
    return next;
  };
}
