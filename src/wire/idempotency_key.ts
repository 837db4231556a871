import { accepted, type Result, refused } from '../kernel/result.ts';
import { IDEMPOTENCY_KEY_CHARACTERS_MAX } from './limits.ts';
import { type Refusal, refusal } from './refusals.ts';

/** draft-ietf-httpapi-idempotency-key-header §2.1: a string of RFC 9651 §3.3.3; without its quotes it is taken as well. */
export function readIdempotencyKey(header: string | string[] | undefined): Result<string | undefined, Refusal> {
  if (header === undefined) return accepted(undefined);
  const key = typeof header === 'string' ? /^"([!#-[\]-~]+)"$|^([!#-[\]-~]+)$/.exec(header) : null;
  const value = key?.[1] ?? key?.[2];
  return value !== undefined && value.length <= IDEMPOTENCY_KEY_CHARACTERS_MAX
    ? accepted(value)
    : refused(
        refusal(
          'request_invalid',
          `The Idempotency-Key must be one string of 1 to ${IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters, such as "8e03978e-40d5".`,
        ),
      );
}
