import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import type { StepUpStatus } from '../wire/guard_api.ts';
import type { DecisionPoint } from './decision_point.ts';
import { WAIT_PAUSE_MS, WAIT_RETRY_MS, WAIT_SECONDS_MAX } from './limits.ts';

/**
 * The one primitive under every lane: waits until a step-up is decided, expired or withdrawn, or until `untilMs` (epoch)
 * or the signal. Null when it is still open then, or when the server could not be asked.
 */
export async function waitForStepUp(
  point: DecisionPoint,
  stepUpId: string,
  options: { readonly untilMs: number; readonly signal: AbortSignal; readonly log: Logger },
): Promise<StepUpStatus | null> {
  while (!options.signal.aborted) {
    const left = Math.floor((options.untilMs - Date.now()) / 1000);
    if (left <= 0) return null;
    try {
      const seconds = Math.min(left, WAIT_SECONDS_MAX);
      const askedAt = performance.now();
      const answer = await point.wait(stepUpId, seconds, options.signal);
      if (!answer.ok) return null;
      if (answer.value.state !== 'open' && answer.value.state !== 'registered') return answer.value;
      const isEarly = performance.now() - askedAt < seconds * 1000 - WAIT_PAUSE_MS;
      // A server that stops sends its waiters away at once; the next one is another, or the same once more.
      if (isEarly) await sleep(WAIT_PAUSE_MS, undefined, { signal: options.signal }).catch(() => {});
    } catch (error) {
      if (options.signal.aborted) return null;
      options.log.warn({ error, step_up: stepUpId }, 'waiting for a decision failed; trying again');
      await sleep(WAIT_RETRY_MS, undefined, { signal: options.signal }).catch(() => {});
    }
  }
  return null;
}
