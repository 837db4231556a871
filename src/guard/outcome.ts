import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { type GuardContext, tracked } from './context.ts';
import {
  OUTCOME_BYTES_MAX,
  OUTCOME_REPORT_MS_MAX,
  OUTCOME_RETRY_MS,
  OUTCOME_RETRY_MS_MAX,
  OUTCOME_WAIT_MS,
} from './limits.ts';
import type { Redemption } from './redeem.ts';

export type Outcome = 'done' | 'failed' | 'unknown';

/** What became of a run, by the message that the tool answered with. */
export function outcomeOf(answer: JsonObject): Outcome {
  if (isObject(answer.error)) return 'failed';
  if (!isObject(answer.result)) return 'unknown';
  const { resultType, isError } = answer.result;
  // A task goes on, and a question was asked in the middle: neither says that the call did its work.
  if (resultType !== undefined && resultType !== 'complete') return 'unknown';
  return isError === true ? 'failed' : 'done';
}

/** What is kept for replay: `{ result }` or `{ error }` as answered; null when it is larger than what is kept. */
export function recordedAnswer(answer: JsonObject): JsonObject | null {
  const kept: JsonObject = answer.error === undefined ? { result: answer.result } : { error: answer.error };
  return Buffer.byteLength(JSON.stringify(kept)) > OUTCOME_BYTES_MAX ? null : kept;
}

/**
 * Reports what became of a run; resolves when the server recorded it, or after a while: the caller is not made to wait
 * for a server that is down. Without a report the server says `unknown`, which is never wrong.
 */
export async function reportOutcome(
  context: Pick<GuardContext, 'point' | 'instance' | 'log' | 'running'>,
  redemption: Redemption,
  outcome: Outcome,
  recorded: JsonObject | null,
): Promise<void> {
  const report = {
    attempt_id: redemption.attemptId,
    guard_instance: context.instance,
    outcome,
    result: recorded,
  };
  const wait = new AbortController();
  const reported = tracked(
    context,
    untilRecorded(context, redemption.redemptionId, report).finally(() => wait.abort()),
  );
  await Promise.race([
    reported,
    sleep(OUTCOME_WAIT_MS, undefined, { signal: wait.signal, ref: false }).catch(() => {}),
  ]);
}

async function untilRecorded(
  context: Pick<GuardContext, 'point' | 'log'>,
  redemptionId: string,
  report: Parameters<GuardContext['point']['reportOutcome']>[1],
): Promise<void> {
  const endsAt = performance.now() + OUTCOME_REPORT_MS_MAX;
  for (
    let retryMs = OUTCOME_RETRY_MS;
    performance.now() < endsAt;
    retryMs = Math.min(retryMs * 2, OUTCOME_RETRY_MS_MAX)
  ) {
    try {
      const answer = await context.point.reportOutcome(redemptionId, report);
      if (answer.ok) return;
      context.log.error({ redemption: redemptionId, refusal: answer.refusal.code }, 'the outcome was not accepted');
      return;
    } catch (error) {
      context.log.warn(
        { error, redemption: redemptionId, retry_ms: retryMs },
        'reporting an outcome failed; trying again',
      );
      // A guard that closes waits for this itself, for a while; afterwards nothing may keep its process alive.
      await sleep(retryMs, undefined, { ref: false });
    }
  }
  context.log.error(
    { redemption: redemptionId, outcome: report.outcome },
    'an outcome could not be reported; it stays unknown',
  );
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
