/** A reply that takes longer counts as lost. Redis answers in well under a millisecond. */
export const COMMAND_TIMEOUT_MS = 500;
/** A connection that owes us an answer and is silent for this long is given up, before its commands time out. */
export const SILENCE_TIMEOUT_MS = 400;
export const CONNECT_TIMEOUT_MS = 1_000;
/** How long one operation waits for a connection to come back before it asks once more. */
export const RECOVERY_MS_MAX = 300;
/** An operation ends by then whatever the driver does: two commands and a recovery between them. */
export const OPERATION_MS_MAX = 2 * COMMAND_TIMEOUT_MS + RECOVERY_MS_MAX + 200;
/** Without a connection for this long, operations do not wait for one any more. */
export const PATIENCE_MS = 1_000;
/** More are refused instead of queued. */
export const OPERATIONS_IN_FLIGHT_MAX = 2_000;
/** How long connecting tries at the start before it says that Redis is out of reach. */
export const START_MS_MAX = 3_000;
export const START_RETRY_MS = 100;
export const RECONNECT_DELAY_MS_MIN = 10;
export const RECONNECT_DELAY_MS_MAX = 1_000;
/** A peer that does not answer our goodbye in this time is dropped. */
export const DISCONNECT_TIMEOUT_MS = 100;
export const KEEP_ALIVE_MS = 5_000;
/** How often the map of a cluster is read, also when nothing is redirected. */
export const SLOTS_REFRESH_INTERVAL_MS = 2_000;
export const REDIRECTIONS_MAX = 4;
/** A fail-over is quick: the primary is looked for again at most this often. */
export const RENEWAL_INTERVAL_MS = 1_000;
/** How often the subscriber asks whether its connection still carries anything. */
export const HEARTBEAT_INTERVAL_MS = 1_000;

/** Entries are spread over this many hash tags, so that a cluster shares them out; one script touches one tag. */
export const TAGS = 64;
/** How long a script remembers that it ran for a request, in case the reply was lost. */
export const RECEIPT_MS = 30_000;
/** What "no expiry" means here: nothing of an abandoned epoch may stay for ever. */
export const UNLIMITED_MS = 366 * 86_400_000;
/** A save that was under way when its grant was revoked arrives long before this. */
export const REVOKED_GRANT_MS = 2 * 86_400_000;

export const REDIS_MAJOR_VERSION_MIN = 7;
/** A password longer than this is a wrong file. */
export const PASSWORD_CHARACTERS_MAX = 1_024;
