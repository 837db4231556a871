import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import { CLOSE_STEP_MS_MAX } from './limits.ts';

export interface Closing {
  /** What is added last is closed first. */
  add(what: string, close: () => Promise<unknown>, msMax?: number): void;
  /** Closes all, each within its time. What cannot be closed is logged and does not keep the others open. */
  run(): Promise<void>;
}

export function createClosing(log: Logger): Closing {
  const steps: { readonly what: string; readonly close: () => Promise<unknown>; readonly msMax: number }[] = [];
  return {
    add(what, close, msMax = CLOSE_STEP_MS_MAX) {
      steps.push({ what, close, msMax });
    },
    async run() {
      for (const { what, close, msMax } of steps.splice(0).reverse()) {
        try {
          await inTime(close(), msMax);
        } catch (error) {
          log.error({ err: error }, `${what} could not be closed in order; what is committed is safe`);
        }
      }
    },
  };
}

async function inTime(closed: Promise<unknown>, msMax: number): Promise<void> {
  const done = new AbortController();
  const late = sleep(msMax, undefined, { signal: done.signal }).then(
    () => Promise.reject(new Error(`It did not end within ${msMax / 1000} s.`)),
    () => {},
  );
  await Promise.race([closed, late]).finally(() => done.abort());
}
