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

/** Of each text in a message; what people must read in full is on the page. */
export const NOTICE_TEXT_CHARACTERS_MAX = 200;

/** Messages of one channel that one process sends at a time. */
export const SENDS_AT_A_TIME_MAX = 4;
export const DELIVERY_SEND_MS_MAX = 15_000;
/** Of what a receiver answers; the status is all that counts. */
export const CHANNEL_ANSWER_BYTES_MAX = 65_536;
/** Nobody else sends a message that is being sent for so long: well above what one attempt may take. */
export const DELIVERY_LEASE_MS = 60_000;
export const DELIVERY_POLL_MS = 1_000;
/** Between attempts to read the outbox while PostgreSQL does not answer. */
export const DELIVERY_CLAIM_RETRY_MS = 2_000;
/** Twice as long after each attempt: 2 s, 4 s, ... up to an hour; the last of all attempts is about a day later. */
export const DELIVERY_BACK_OFF_MS = 2_000;
export const DELIVERY_BACK_OFF_MS_MAX = 3_600_000;
export const DELIVERY_ATTEMPTS_MAX = 40;
/** A receiver may ask to be left alone for so long; a mistake in a header must not silence it for good. */
export const DELIVERY_PAUSE_MS_MAX = 3_600_000;
/** What is being sent when the process stops may end within this. */
export const DELIVERY_STOP_MS_MAX = 2_000;
export const OUTBOX_KEPT_DAYS = 30;
export const OUTBOX_PRUNE_BATCH = 1_000;
/** After a revocation that withdrew many step-ups: so many of those who wait for one are woken at a time. */
export const WAKE_UPS_AT_A_TIME_MAX = 50;
