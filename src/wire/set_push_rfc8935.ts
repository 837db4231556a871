// RFC 8935 (November 2020): one token in one POST, answered 202, or 400 with a reason.

/** §2.3 */
export const ACCEPTED_STATUS = 202;

/** §2.4: why a token was not accepted. */
export const SET_ERRORS = [
  'invalid_request',
  'invalid_key',
  'invalid_issuer',
  'invalid_audience',
  'authentication_failed',
  'access_denied',
] as const;
export type SetError = (typeof SET_ERRORS)[number];

/** The code a receiver answered, if it is one that a specification names. `invalid_state` is of SSF 1.0 §8.1.4. */
export function knownSetError(value: unknown): SetError | 'invalid_state' | undefined {
  return [...SET_ERRORS, 'invalid_state' as const].find((code) => code === value);
}
