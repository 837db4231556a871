import type { IncomingHttpHeaders } from 'node:http';
import { accepted, type Result } from '../kernel/result.ts';
import { readIdempotencyKey } from './idempotency_key.ts';
import type { Refusal } from './refusals.ts';
import { readTraceparent } from './trace_context.ts';

export interface Repeat {
  readonly idempotencyKey?: string;
  readonly traceparent?: string;
}

/** What comes beside a request that starts a task: the key by which it is the same when asked again, and its trace. */
export function readRepeat(headers: IncomingHttpHeaders): Result<Repeat, Refusal> {
  const key = readIdempotencyKey(headers['idempotency-key']);
  if (!key.ok) return key;
  const traceparent = readTraceparent(headers.traceparent);
  return accepted({
    ...(key.value === undefined ? {} : { idempotencyKey: key.value }),
    ...(traceparent === undefined ? {} : { traceparent }),
  });
}
