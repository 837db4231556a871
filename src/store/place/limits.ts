/** How often each server reads where the memory is, beside the wake-ups. */
export const PLACE_POLL_MS = 250;
/**
 * How long a server may go by what it read last. A new epoch begins this much later than it is written, when nobody goes
 * by the one before any more.
 */
export const PLACE_VIEW_MS = 500;
/** From writing an epoch to its beginning: the time above, and up to a second to a whole one. */
export const BEGIN_WAIT_MS_MAX = PLACE_VIEW_MS + 1_000;
/** How often each server asks Redis whether it is there and still the same. */
export const REDIS_CHECK_MS = 500;
/** Failed checks in a row before a server gives up Redis without a call that needed it. */
export const REDIS_FAILURES_MAX = 2;
/** How long Redis must have answered before it is used again. */
export const REDIS_STEADY_MS = 5_000;
/** An epoch in Redis that was shorter counts as a setback: each doubles the time before the next, up to a bound. */
export const REDIS_SETTLED_MS = 60_000;
export const REDIS_SETBACKS_MAX = 6;
/** Places that one operation tries, each after the one before failed. */
export const PLACE_ATTEMPTS_MAX = 3;
/** How often expired entries in PostgreSQL are deleted, and how many in one statement. */
export const ENTRIES_PRUNE_MS = 10_000;
export const ENTRIES_PRUNED_TOGETHER_MAX = 2_000;
