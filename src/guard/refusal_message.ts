import type { JsonObject } from '../kernel/json.ts';
import type { Refusal } from '../wire/refusals.ts';
import { errorMessage, INVALID_PARAMS_CODE, refusalMessage } from './answers.ts';
import type { InboundMessage } from './edge.ts';

/** The wire face of a refusal inside a JSON-RPC answer, for every code. */
export function refusalMessageOf(to: InboundMessage, refused: Refusal): JsonObject {
  if (refused.code === 'request_invalid') return errorMessage(to, INVALID_PARAMS_CODE, refused.message);
  const stepUpId = refused.detail?.step_up_id;
  return refusalMessage(to, refused, {
    // An outage or a limit passes by itself; it is no denial that somebody could lift.
    remediation: refused.code === 'unavailable' || refused.code === 'rate_limited' ? 'undisclosed' : 'unavailable',
    ...(typeof stepUpId === 'string' ? { contextId: stepUpId } : {}),
  });
}
