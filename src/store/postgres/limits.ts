/** No statement of ours scans a table: one that takes this long is stuck. */
export const STATEMENT_TIMEOUT_MS = 10_000;
export const LOCK_TIMEOUT_MS = 3_000;
export const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
/** Longer than any limit PostgreSQL keeps itself: by then it would have answered. */
export const STALL_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 2_000;
/** A caller that waits longer for a connection gets an outage instead of a queue. */
export const POOL_WAIT_TIMEOUT_MS = 5_000;
export const POOL_IDLE_TIMEOUT_MS = 30_000;
export const MIGRATION_LOCK_TIMEOUT_MS = 60_000;
/** How long saves for a revoked grant are refused; one that was under way when it was revoked arrives long before. */
export const REVOKED_GRANT_SECONDS = 2 * 86_400;
/** Rows of a kind that one round of pruning deletes. */
export const PRUNE_ROWS_MAX = 1_000;
/** Prepared statements a connection keeps, and the longest it prepares: all of ours are below both. */
export const PREPARED_STATEMENTS_MAX = 300;
export const PREPARED_TEXT_CHARACTERS_MAX = 4_000;
/** The oldest major release of PostgreSQL that is tested. */
export const VERSION_MIN = 15;
/** A new connection is asked what it leads to, and given up if nothing comes back. */
export const CONNECTION_CHECK_TIMEOUT_MS = 5_000;
/** A connection that says nothing is probed after this; Linux then gives it up after ten probes, one a second. */
export const KEEP_ALIVE_DELAY_MS = 10_000;
/** PostgreSQL takes notifications below 8,000 bytes; the channel and the quotes of JSON are part of them. */
export const NOTIFICATION_BYTES_MAX = 7_900;
/** Notifications that one statement sends. */
export const NOTIFIED_TOGETHER_MAX = 200;
/** How long a subscription waits for the connection that listens before it relies on being called when that is back. */
export const LISTENING_WAIT_MS = 1_000;
export const LISTENING_RETRY_MS = 100;
export const LISTENING_RETRY_MS_MAX = 2_000;
/** How often a server sends itself a notification, and how long it believes in a connection on which none came. */
export const LISTENING_CHECK_MS = 5_000;
export const LISTENING_SILENCE_MS_MAX = 16_000;
/**
 * A migration that waits for a table makes everybody after it wait, so it gives up soon, and tries again; well before
 * PostgreSQL looks for deadlocks (after a second), which could end somebody else's transaction.
 */
export const MIGRATION_TABLE_LOCK_MS = 200;
export const MIGRATION_RETRY_MS = 500;
export const MIGRATION_ATTEMPTS_MAX = 100;
