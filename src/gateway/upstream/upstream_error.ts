import type { JsonValue } from '../../kernel/json.ts';
import { META_PREFIX } from '../../wire/result_meta.ts';

/**
 * Whether the request may have had an effect:
 * - `answered`: the upstream itself answered with an error;
 * - `not_sent`: it never got the request;
 * - `unknown`: it got the request and nobody can say what became of it.
 */
export type UpstreamFailure = 'answered' | 'not_sent' | 'unknown';

/** JSON-RPC code of every failure that is ours and not the upstream's own answer. */
export const UPSTREAM_UNAVAILABLE_CODE = -32000;

const INTERNAL_ERROR_CODE = -32603;

/** A request to an upstream that brought no result. `code`, `message` and `data` go to the client as they are. */
export class UpstreamError extends Error {
  readonly failure: UpstreamFailure;
  readonly code: number;
  readonly data: JsonValue | undefined;

  constructor(failure: UpstreamFailure, code: number, message: string, data?: JsonValue) {
    super(message);
    this.name = 'UpstreamError';
    this.failure = failure;
    this.code = code;
    this.data = data;
  }
}

/** The upstream never got the request, so nothing ran. */
export function notSent(message: string): UpstreamError {
  return new UpstreamError('not_sent', UPSTREAM_UNAVAILABLE_CODE, message, outcomeData('not_run'));
}

/** The tool ran and answered what cannot be passed on. What it did is not known from such an answer. */
export function unusableAnswer(message: string): UpstreamError {
  return new UpstreamError('unknown', INTERNAL_ERROR_CODE, message, outcomeData('unknown'));
}

/** The upstream got the request and no answer came: whoever asked must treat the outcome as unknown and never resend. */
export function outcomeUnknown(message: string): UpstreamError {
  return new UpstreamError('unknown', UPSTREAM_UNAVAILABLE_CODE, message, outcomeData('unknown'));
}

function outcomeData(outcome: 'not_run' | 'unknown'): JsonValue {
  return { [`${META_PREFIX}outcome`]: outcome };
}
