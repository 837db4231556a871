import type { JsonObject } from '../kernel/json.ts';
import type { Refusal, RefusalCode } from '../wire/refusals.ts';
import { errorMessage, INVALID_PARAMS_CODE, refusalMessage } from './answers.ts';
import type { InboundMessage } from './edge.ts';

const PASSING: ReadonlySet<RefusalCode> = new Set(['unavailable', 'clock_differs', 'rate_limited']);

/** The wire face of a refusal inside a JSON-RPC answer, for every code. */
export function refusalMessageOf(to: InboundMessage, refused: Refusal): JsonObject {
  if (refused.code === 'request_invalid') return errorMessage(to, INVALID_PARAMS_CODE, refused.message);
  const stepUpId = refused.detail?.step_up_id;
  return refusalMessage(to, refused, {
    // An outage or a limit passes by itself; it is no denial that somebody could lift.
    remediation: PASSING.has(refused.code) ? 'undisclosed' : 'unavailable',
    ...(typeof stepUpId === 'string' ? { contextId: stepUpId } : {}),
  });
}
