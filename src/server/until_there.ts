import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import { START_RETRY_MS, START_RETRY_MS_MAX, START_WAIT_MS_MAX } from './limits.ts';

/** A store did not come up while a start waited for it; the message says which setting names it. */
export class StoreAbsentError extends Error {
  override name = 'StoreAbsentError';
}

/**
 * Tries again, for a bounded time, while a store that is started beside this process is not there yet. Each attempt is
 * logged, so that whoever waits sees what for. Every other failure ends the wait at once: it would not mend itself.
 */
export async function untilThere<Value>(
  attempt: () => Promise<Value>,
  options: {
    readonly what: string;
    readonly setting: string;
    readonly isAbsent: (error: unknown) => boolean;
    readonly log: Logger;
    readonly msMax?: number;
  },
): Promise<Value> {
  const { what, setting, isAbsent, log, msMax = START_WAIT_MS_MAX } = options;
  const startedAt = performance.now();
  for (let tries = 1, retryMs = START_RETRY_MS; ; tries += 1, retryMs = Math.min(retryMs * 2, START_RETRY_MS_MAX)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isAbsent(error)) throw error;
      const leftMs = startedAt + msMax - performance.now();
      if (leftMs <= 0) {
        throw new StoreAbsentError(
          `${what} was not there within ${msMax / 1000} s: ${reasonOf(error)}. Check that it runs and can be reached from ` +
            `here, and that ${setting} names its address.`,
        );
      }
      log.warn(
        { attempt: tries, seconds_left: Math.round(leftMs / 1000), reason: reasonOf(error) },
        `${what} (${setting}) is not there yet; trying again`,
      );
      await sleep(Math.min(retryMs, leftMs));
    }
  }
}

/** Node gives the errors of several addresses of one name no message of their own. */
function reasonOf(error: unknown): string {
  const { message, code } = error as { readonly message?: string; readonly code?: string };
  return message || code || String(error);
}
