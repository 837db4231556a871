import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { REVOCATION_REASON_LENGTH_MAX } from '../limits.ts';

/** Why an agent is suspended whose owner was disabled; `enablePerson` knows the person's own ones by it. */
export const OWNER_DISABLED = 'The person who owns it was disabled.';

/** What a person says on why something is ended; null where they say nothing. */
export function readReason(text: string): Result<string | null, Refusal> {
  const reason = text.trim();
  return reason.length > REVOCATION_REASON_LENGTH_MAX
    ? refused(refusal('request_invalid', `A reason may have ${REVOCATION_REASON_LENGTH_MAX} characters at most.`))
    : accepted(reason === '' ? null : reason);
}
