/** Rounds of every comparison; the systems take turns in each, so that noise meets them alike. */
export const ROUNDS = 5;
export const WARM_UP_MS = 1_500;
export const ONE_CONNECTION_MS = 1_500;
export const MANY_CONNECTIONS_MS = 2_000;
export const MANY_CONNECTIONS = 16;
/** Of one run; client assertions are signed before the clock starts. */
export const REQUESTS_MAX = 6_000;
export const TOKEN_REQUESTS_MAX = 3_000;
export const REQUEST_TIMEOUT_MS = 10_000;
export const READY_MS_MAX = 60_000;

export const CLICKS = 50;
export const CLICKS_WARM_UP = 5;

export const FIRST_STARTS = 3;
export const LATER_STARTS = 3;
export const READY_POLL_MS = 5;
/** How long a server idles before its memory is read. */
export const REST_MS = 3_000;
