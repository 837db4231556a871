/** Slow headers and slow bodies end within ten seconds: these limits, and how often they are looked after. */
export const HEADERS_TIMEOUT_MS = 8_000;
export const REQUEST_TIMEOUT_MS = 9_000;
export const CONNECTIONS_CHECK_MS = 1_000;
export const KEEP_ALIVE_MS = 30_000;
export const HEADER_BYTES_MAX = 32_768;
export const HEADERS_MAX = 100;
export const URL_CHARACTERS_MAX = 16_384;
export const REQUESTS_PER_CONNECTION_MAX = 10_000;
export const CONNECTIONS_MAX = 2_000;
/** Connections that the system keeps until they are accepted; it may allow fewer (net.core.somaxconn). */
export const BACKLOG = 1_024;
/** An answer of which nothing was taken for this long has no reader. */
export const WRITE_STALL_MS = 10_000;
/** What is still sent after the answer is thrown away for this long; then the connection is cut. */
export const LINGER_MS = 500;
/** How often a full house is logged. */
export const FULL_LOG_MS = 10_000;

/** The largest body that any route takes. */
export const BODY_BYTES_MAX = 2_097_152;
/** A body that is not there by then is slow: its request gives its place back while it arrives. */
export const SLOW_BODY_MS = 250;
export const SLOW_BODIES_MAX = 200;
/** What a request that is turned away is told to wait. */
export const OVERLOAD_RETRY_SECONDS = 1;

/** How late the event loop may be before fewer requests are let in, and how often that is measured. */
export const EVENT_LOOP_DELAY_MS_MAX = 250;
export const EVENT_LOOP_RESOLUTION_MS = 20;
export const EVENT_LOOP_WINDOW_MS = 500;
/** However late it is, so that it recovers by itself. */
export const REQUESTS_MIN = 2;

/** A clock further off than this from PostgreSQL's serves nobody (fact F10). */
export const CLOCK_OFFSET_MS_MAX = 5_000;
export const CLOCK_CHECK_MS = 1_000;
/** A probe is answered within this time, whatever PostgreSQL does. */
export const READY_MS_MAX = 2_000;

/** How long idle connections are kept while a server stops: who asks on one just then is still answered. */
export const IDLE_GRACE_MS = 250;
/** Without a configuration, as the gateway. */
export const DRAIN_MS_MAX = 10_000;
/** For each worker and store that has to end. */
export const CLOSE_STEP_MS_MAX = 15_000;

/** How long a start waits for PostgreSQL, and between two attempts. */
export const START_WAIT_MS_MAX = 60_000;
export const START_RETRY_MS = 1_000;
export const START_RETRY_MS_MAX = 5_000;

export const FETCH_TIMEOUT_MS = 5_000;
export const FETCH_BYTES_MAX = 1_048_576;
export const SIGN_IN_LINK_SECONDS = 900;
export const SET_UP_LINK_SECONDS = 86_400;
/** How often what expired is deleted, and after how many such rounds what is past its retention. */
export const PRUNE_MS = 60_000;
export const PRUNE_OLD_ROUNDS = 60;
export const PRUNE_ROWS_MAX = 1_000;
/** A token lives on by the clock of a node that is behind PostgreSQL's, which may be by CLOCK_OFFSET_MS_MAX. */
export const REVOKED_TOKENS_KEPT_SECONDS = 60;
/** Expired sessions and links are kept this long for those who ask what happened; messages that were sent as well. */
export const PEOPLE_RECORDS_KEPT_DAYS = 30;
export const OUTBOX_KEPT_DAYS = 30;

/** Secrets of clients that are configured to have one. */
export const CLIENT_SECRET_CHARACTERS_MIN = 32;
export const CLIENT_SECRET_CHARACTERS_MAX = 512;
/** Longer than a token of another transmitter may be old (`RECEIVED_AGE_SECONDS_MAX`). */
export const RECEIVED_SIGNALS_KEPT_DAYS = 8;
