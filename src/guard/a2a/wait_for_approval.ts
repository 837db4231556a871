import { setTimeout as sleep } from 'node:timers/promises';
import type { StepUpStatus } from '../../wire/guard_api.ts';
import { REFUSALS, type Refusal, refusal } from '../../wire/refusals.ts';
import type { GuardContext } from '../context.ts';
import { type Decided, decide, type Pending, type ReplayAnswer } from '../decide.ts';
import { STOPPING } from '../stopping.ts';
import { waitForStepUp } from '../wait.ts';
import { FRESH_TOKEN_SECONDS_MAX, STEP_UP_GRACE_MS } from './limits.ts';
import type { LiveTask, Ticket } from './ticket.ts';

export interface Waited {
  readonly ticket: Ticket;
  readonly task: LiveTask;
  /** Called for each request for approval that is waited for. */
  readonly onAsked: (stepUp: StepUpStatus) => void;
}

export type Answered =
  | Extract<Decided, { kind: 'permit' | 'redeemed' }>
  | { readonly kind: 'refuse'; readonly refusal: Refusal }
  | { readonly kind: 'replay'; readonly answer: ReplayAnswer }
  | { readonly kind: 'cancelled' };

/**
 * Waits until people decided, and then decides again: token, task, policy and facts are all looked at anew. A token that
 * ended meanwhile is not enough; the next request of the same principal about this task brings another one.
 */
export async function stepUpAnswered(context: GuardContext, waited: Waited): Promise<Answered> {
  const { ticket, task } = waited;
  const stopped = AbortSignal.any([task.cancelled.signal, context.closing]);
  if (ticket.decided.kind !== 'wait') throw new TypeError('This message waits for nobody.');
  let pending: Pending = ticket.decided.pending;
  context.holds.count += 1;
  try {
    for (;;) {
      const { step_up_id: id } = pending.stepUp;
      task.stepUpId = id;
      waited.onAsked(pending.stepUp);
      const ended = await untilDecided(context, pending, stopped);
      if (task.cancelled.signal.aborted) return await withdraw(context, id);
      if (context.closing.aborted) return { kind: 'refuse', refusal: STOPPING };
      if (ended !== null) return { kind: 'refuse', refusal: ended };
      const decided = await decideWithLiveToken(context, waited, stopped);
      if (task.cancelled.signal.aborted && decided.kind !== 'redeemed') return { kind: 'cancelled' };
      if (decided.kind !== 'wait') return decided;
      pending = decided.pending;
    }
  } finally {
    task.stepUpId = null;
    context.holds.count -= 1;
  }
}

/** Null when people approved. */
async function untilDecided(context: GuardContext, pending: Pending, signal: AbortSignal): Promise<Refusal | null> {
  const { step_up_id: id, expires_at: expiresAt } = pending.stepUp;
  const untilMs = Date.parse(expiresAt) + STEP_UP_GRACE_MS;
  const status = await waitForStepUp(context.point, id, { untilMs, signal, log: context.log });
  const detail = { step_up_id: id };
  switch (status?.state) {
    case 'approved':
      return null;
    case 'denied': {
      const because = status.reason === null ? '' : ` Reason: ${status.reason}`;
      return refusal('step_up_denied', `A person refused this message.${because}`, {
        ...detail,
        reason: status.reason,
      });
    }
    case 'withdrawn':
      return refusal('step_up_withdrawn', status.reason ?? 'The request for approval was withdrawn.', detail);
    case 'expired':
      return refusal('step_up_expired', status.reason ?? 'Nobody decided in time.', detail);
    default:
      return refusal('unavailable', 'What became of the request for approval cannot be asked.', detail);
  }
}

async function decideWithLiveToken(
  context: GuardContext,
  { ticket, task }: Waited,
  stopped: AbortSignal,
): Promise<Answered | Extract<Decided, { kind: 'wait' }>> {
  const { standing, cancelled } = task;
  const late = AbortSignal.any([stopped, AbortSignal.timeout(FRESH_TOKEN_SECONDS_MAX * 1000)]);
  for (;;) {
    const { caller } = standing;
    if (standing.isLive(new Date())) {
      const decided = await decide(context, { ...ticket.call, caller, cancelled: cancelled.signal });
      if (decided.kind === 'gone') return { kind: 'cancelled' };
      if (decided.kind !== 'refuse' || REFUSALS[decided.refusal.code].status !== 401) return decided;
      // The task itself ended; no other token of it will do.
      if (decided.refusal.code === 'task_ended') return decided;
    }
    if (standing.caller === caller) await standing.newer(late);
    if (cancelled.signal.aborted) return { kind: 'cancelled' };
    if (late.aborted) return { kind: 'refuse', refusal: context.closing.aborted ? STOPPING : tokenEnded() };
    await sleep(0);
  }
}

function tokenEnded(): Refusal {
  return refusal(
    'token_expired',
    'People approved, but the access token had expired, and nobody came back with another one. Nothing was run: send the same message again.',
  );
}

async function withdraw(context: GuardContext, stepUpId: string): Promise<Answered> {
  try {
    const answer = await context.point.withdraw(stepUpId);
    if (!answer.ok)
      context.log.info({ step_up: stepUpId, refusal: answer.refusal.code }, 'nothing was left to withdraw');
  } catch (error) {
    context.log.warn({ error, step_up: stepUpId }, 'a cancelled message could not be withdrawn; it expires');
  }
  return { kind: 'cancelled' };
}
