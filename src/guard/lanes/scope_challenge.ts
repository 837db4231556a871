import { refusal, refusalBody } from '../../wire/refusals.ts';
import { REFUSAL_META, STEP_UP_META } from '../../wire/result_meta.ts';
import { stepUpScope } from '../../wire/scopes.ts';
import { wwwAuthenticate } from '../../wire/www_authenticate.ts';
import { jsonAnswer, REFUSED_CODE } from '../answers.ts';
import { principalKey } from '../caller.ts';
import type { GuardContext, GuardedCall } from '../context.ts';
import type { Pending } from '../decide.ts';
import { stepUpMeta } from './retry.ts';

/** Challenges are told apart from resends by this. */
export function challengeKey(call: GuardedCall, stepUpId: string): string {
  return JSON.stringify([principalKey(call.caller), stepUpId]);
}

/**
 * 403 `insufficient_scope` (MCP 2026-07-28, Runtime Insufficient Scope Errors): sends a client with a browser through
 * `/authorize`, which shows the step-up. The scope carries the trip and gives nothing; the base scope is always named
 * beside it, since an authorization with unknown scopes only would fail (lanes.md, trap 7).
 */
export function scopeChallengeAnswer(context: GuardContext, call: GuardedCall, pending: Pending): Response {
  const { step_up_id: id, expires_at: expiresAt } = pending.stepUp;
  context.challenged.set(challengeKey(call, id), true, Date.parse(expiresAt));
  const said = refusal('step_up_required', 'A person must approve this call.', { step_up_id: id });
  const answer = jsonAnswer(
    {
      jsonrpc: '2.0',
      id: call.inbound.id ?? null,
      error: {
        code: REFUSED_CODE,
        message: said.message,
        data: { [STEP_UP_META]: stepUpMeta(pending.stepUp), [REFUSAL_META]: refusalBody(said) },
      },
    },
    403,
  );
  answer.headers.set(
    'www-authenticate',
    wwwAuthenticate({
      scheme: 'Bearer',
      error: 'insufficient_scope',
      error_description: said.message,
      scope: `${pending.scopeChallenge.base_scope} ${stepUpScope(id)}`,
      resource_metadata: context.metadataUrl,
    }),
  );
  return answer;
}
