import type { JsonObject } from '../../kernel/json.ts';
import { authorizationDenialMeta } from '../../wire/authorization_denial_sep_2643.ts';
import type { StepUpStatus } from '../../wire/guard_api.ts';
import { refusal, refusalBody } from '../../wire/refusals.ts';
import { REFUSAL_META, STEP_UP_META } from '../../wire/result_meta.ts';
import { toldMessage } from '../answers.ts';
import type { Pending } from '../decide.ts';
import type { InboundMessage } from '../edge.ts';

/** Answers at once: what happened, where a person decides it, and that the same call again goes on. */
export function retryMessage(to: InboundMessage, name: string, pending: Pending): JsonObject {
  const { step_up_id: id, state, approval_url: url, expires_at: expiresAt } = pending.stepUp;
  const meta: JsonObject = {
    [STEP_UP_META]: stepUpMeta(pending.stepUp),
    [REFUSAL_META]: refusalBody(
      refusal('step_up_required', 'A person must approve this call.', { step_up_id: id, state }),
    ),
    ...(authorizationDenialMeta({
      remediation: 'available',
      contextId: id,
      hints: [{ type: 'url', url }],
    }) as unknown as JsonObject),
  };
  return toldMessage(
    to,
    `Nothing ran yet: a person must approve this call of ${name}.\n` +
      `The request for approval is open until ${expiresAt}. It is shown and decided here: ${url}\n` +
      'Make the same call again, with exactly the same arguments, after it is approved. Other arguments are another ' +
      'call and need an approval of their own.',
    meta,
  );
}

export function stepUpMeta(stepUp: StepUpStatus): JsonObject {
  return {
    id: stepUp.step_up_id,
    // Registered and open differ only between the server and the guard.
    state: stepUp.state === 'registered' ? 'open' : stepUp.state,
    approval_url: stepUp.approval_url,
    expires_at: stepUp.expires_at,
  };
}
