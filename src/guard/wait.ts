import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import type { StepUpStatus } from '../wire/guard_api.ts';
import type { DecisionPoint } from './decision_point.ts';
import { WAIT_RETRY_MS, WAIT_SECONDS_MAX } from './limits.ts';

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
      const answer = await point.wait(stepUpId, Math.min(left, WAIT_SECONDS_MAX), options.signal);
      if (!answer.ok) return null;
      if (answer.value.state !== 'open' && answer.value.state !== 'registered') return answer.value;
    } catch (error) {
      if (options.signal.aborted) return null;
      options.log.warn({ error, step_up: stepUpId }, 'waiting for a decision failed; trying again');
      await sleep(WAIT_RETRY_MS, undefined, { signal: options.signal }).catch(() => {});
    }
  }
  return null;
}
