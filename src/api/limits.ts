export const BODY_BYTES_MAX = 2_097_152;
/** DPoP proofs are remembered this long; older ones are refused by their `iat` (RFC 9449 §11.1). */
export const DPOP_REPLAY_MS = 310_000;
/** Verified caller tokens, so that each is verified once and not with every call. */
export const VERIFIED_TOKENS_MAX = 10_000;
/** Of all callers together: a guard that waits asks again every few seconds, and as many may wait as there are places. */
export const REGISTRATIONS_PER_MINUTE = 300;
/** A probe is answered within this time, whatever PostgreSQL does. */
export const READY_MS_MAX = 2_000;
/** Long-polls of one tool server at a time; each holds a connection and asks PostgreSQL twice a second. */
export const WAITS_PER_TOOL_SERVER_MAX = 512;
