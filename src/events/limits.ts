export const SALT_BYTES = 16;
/** So that a line of an export, with its escapes, stays below what strict JSON reads. Callers bound what agents send. */
export const BODY_CHARACTERS_MAX = 16 * 1024;
export const PERSONAL_CHARACTERS_MAX = 64 * 1024;

/** Nothing that committed waits longer for its position, also when its wake-up was lost. */
export const SEAL_WAIT_MS_MAX = 100;
/** The least time between two seals, of any process: under load, events gather into one checkpoint. */
export const SEAL_INTERVAL_MS_MIN = 40;
/** Events sealed in one transaction. */
export const SEAL_EVENTS_MAX = 1_000;
/** While another process seals: what it did not see is looked for after this. */
export const SEAL_BUSY_MS = 20;
/** Between attempts while the log cannot be sealed. */
export const SEAL_RETRY_MS = 1_000;

/** Events that stand alone and are written in one statement: few enough that none waits long for the others. */
export const RECORDED_TOGETHER_MAX = 100;

/** Rows read at a time by an export. */
export const EXPORT_PAGE_EVENTS = 1_000;

/** How long a reader of the log may miss a wake-up (design §4). */
export const FOLLOW_POLL_MS = 500;
/** Events that a reader of the log is handed at a time. */
export const FOLLOW_EVENTS_MAX = 1_000;
/** How far back a reader starts, so that guards which come from another node find here what they have not heard yet. */
export const FOLLOW_BACK_EVENTS = 10_000;
/** A head that was read longer ago says nothing of what was revoked since. */
export const HEAD_AGE_MS_MAX = 3_000;
/** Committed events that wait longer for their position mean that nobody seals. */
export const UNSEALED_MS_MAX = 5_000;
/** Heads a reader remembers, to know the log again without asking. */
export const HEADS_KEPT_MAX = 256;
/** Revocations a node remembers for guards, and for how long: no access token lives longer than five minutes. */
export const REVOCATIONS_KEPT_MAX = 10_000;
export const REVOCATIONS_KEPT_MS = 310_000;

/** Events, or checkpoints, that one statement of retention deletes. */
export const PRUNE_EVENTS_MAX = 1_000;
/** Checkpoints younger than this are all kept; of older ones, one an hour. */
export const CHECKPOINTS_KEPT_WHOLE_DAYS = 1;
