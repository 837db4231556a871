import { type SafeFetch, SafeFetchError, type SafeFetchResponse } from '../../kernel/safe_fetch.ts';
import { parseStrictJson } from '../../kernel/strict_json.ts';
import { knownSetError } from '../../wire/set_push_rfc8935.ts';
import { SET_MEDIA_TYPE } from '../../wire/set_rfc8417.ts';
import { PUSH_ANSWER_BYTES_MAX } from '../limits.ts';

/** What became of one attempt. `reason` is for the operator: no secrets, nothing the receiver wrote. */
export type Pushed =
  | { readonly kind: 'delivered' }
  /** The receiver will not have this very token (RFC 8935 §2.4). */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly pauseMs: number | null };

const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Pushes one token (RFC 8935 §2). */
export async function pushSet(
  fetch: SafeFetch,
  to: { readonly endpoint: string; readonly authorization: string | null },
  token: string,
  signal: AbortSignal,
): Promise<Pushed> {
  const headers = {
    'content-type': SET_MEDIA_TYPE,
    accept: 'application/json',
    'user-agent': 'countersign',
    ...(to.authorization === null ? {} : { authorization: to.authorization }),
  };
  try {
    const bytesMax = PUSH_ANSWER_BYTES_MAX;
    return readAnswer(await fetch(to.endpoint, { method: 'POST', headers, body: token, bytesMax, signal }), new Date());
  } catch (error) {
    if (error instanceof SafeFetchError) return readFailure(error);
    throw error;
  }
}

function readAnswer({ status, headers, body }: SafeFetchResponse, now: Date): Pushed {
  // §2.2 says 202; others mean the same, and whoever answers them has the token.
  if (status >= 200 && status < 300) return { kind: 'delivered' };
  if (status === 400) {
    const code = errorCode(body);
    if (code !== undefined) return { kind: 'refused', reason: `The receiver refused the event: ${code}.` };
  }
  const pauseMs = readRetryAfter(headers['retry-after'], now);
  return { kind: 'failed', reason: `The receiver answered ${status}.`, pauseMs };
}

function errorCode(body: Buffer): string | undefined {
  const parsed = parseStrictJson(body);
  if (!parsed.ok || typeof parsed.value !== 'object' || parsed.value === null) return undefined;
  const { err } = parsed.value as { err?: unknown };
  return typeof err === 'string' ? (knownSetError(err) ?? 'a code no specification names') : undefined;
}

/** Seconds or a date (RFC 9110 §10.2.3); null where neither. */
function readRetryAfter(value: string | undefined, now: Date): number | null {
  if (value === undefined) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = HTTP_DATE.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - now.getTime());
}

function readFailure(error: SafeFetchError): Pushed {
  switch (error.code) {
    // It has arrived: sending it again would repeat it with every attempt.
    case 'too_large':
    case 'encoding_refused':
      return { kind: 'refused', reason: 'The receiver answered with a large or compressed body; a status is enough.' };
    case 'redirect_refused':
      return failed('The receiver answered with a redirect, which is not followed.');
    case 'address_refused':
      return failed('The address of the receiver is not public. Add it to fetch_allowed_hosts if that is intended.');
    case 'url_refused':
      return failed('The address of the receiver cannot be used: it must be https.');
    case 'timed_out':
      return failed('The receiver did not answer in time.');
    case 'failed':
      return failed('The receiver could not be reached, or closed the connection.');
  }
}

function failed(reason: string): Pushed {
  return { kind: 'failed', reason, pauseMs: null };
}
