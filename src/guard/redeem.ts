import { newId } from '../kernel/ids.ts';
import { accepted, type Result } from '../kernel/result.ts';
import type { Refusal } from '../wire/refusals.ts';
import type { WireAction } from './action.ts';
import { type Caller, wireCaller } from './caller.ts';
import type { GuardContext } from './context.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { REDEEM_ATTEMPTS_MAX } from './limits.ts';

/** One use of a grant: the right to run one call once. */
export interface Redemption {
  readonly redemptionId: string;
  readonly attemptId: string;
}

/**
 * Uses the grant for this action. The attempt id is random and of this execution alone (design §3, Attempts); an answer
 * that got lost is asked for again under the same id. Throws IssuerOutage when no answer came: then nothing may run, even
 * though the grant may be used.
 */
export async function redeem(
  context: Pick<GuardContext, 'point' | 'instance' | 'log'>,
  caller: Caller,
  action: WireAction,
): Promise<Result<Redemption, Refusal>> {
  const attemptId = newId('att');
  for (let sent = 1; ; sent += 1) {
    try {
      const answer = await context.point.redeem({
        caller: wireCaller(caller),
        action,
        attempt_id: attemptId,
        guard_instance: context.instance,
      });
      if (!answer.ok) return answer;
      // An attempt that was answered before we first asked is not ours; it may have run.
      if (answer.value.repeated && sent === 1)
        throw new IssuerOutage('The server knew an attempt id that was just made.');
      return accepted({ redemptionId: answer.value.redemption_id, attemptId });
    } catch (error) {
      if (!(error instanceof IssuerOutage) || sent >= REDEEM_ATTEMPTS_MAX) throw error;
      context.log.warn({ error, attempt: attemptId }, 'redeeming got no answer; asking again under the same attempt');
    }
  }
}
