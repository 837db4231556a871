/** W3C Trace Context (Recommendation, 2021-11-23) §3.2: `traceparent`. Only its form is checked; nothing is decided from it. */
const TRACEPARENT = /^[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The value if it is a `traceparent` that may be recorded; else undefined, and the call goes on without one. */
export function readTraceparent(value: unknown): string | undefined {
  return typeof value === 'string' && TRACEPARENT.test(value) && !value.startsWith('ff') ? value : undefined;
}
