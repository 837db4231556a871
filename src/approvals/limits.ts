export const REASON_LENGTH_MAX = 1_000;
/** One long-poll; below what clients and proxies wait (lanes.md: return within 25 s). */
export const WAIT_SECONDS_MAX = 25;
/** Readers poll beside wake-ups, so that a lost wake-up costs this much and no more. */
export const WAIT_POLL_MS = 500;
/** A page older than this must be read again before it decides. */
export const DECISION_TOKEN_SECONDS_MAX = 3_600;
/** Denials of an agent's calls within the cool-down; after so many, other calls of it ask nobody either (T41). */
export const DENIALS_PER_AGENT_MAX = 5;
export const EXPIRY_SWEEP_MS = 1_000;
export const EXPIRY_BATCH_MAX = 200;
export const INBOX_MAX = 200;
/** Approvers that are counted to see whether a gate can be met at all. */
export const VOTERS_MAX = 10_000;
