export const DRAIN_MS_MAX = 10_000;
export const HEADERS_TIMEOUT_MS = 10_000;
/** How often both time limits are looked after; Node's own 30 s would let slow headers take 40. */
export const CONNECTIONS_CHECK_MS = 1_000;
export const REQUEST_TIMEOUT_MS = 60_000;
export const KEEP_ALIVE_MS = 30_000;
export const HEADER_BYTES_MAX = 32_768;
export const CONNECTIONS_MAX = 2_000;
export const FETCH_TIMEOUT_MS = 5_000;
export const FETCH_BYTES_MAX = 1_048_576;
export const SIGN_IN_LINK_SECONDS = 900;
export const SET_UP_LINK_SECONDS = 86_400;
