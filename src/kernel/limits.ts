/** JSON as it arrives, before anything routes it. */
export const JSON_BYTES_MAX = 1024 * 1024;
export const JSON_DEPTH_MAX = 64;
export const JSON_NODES_MAX = 100_000;
/** Room for an envelope of ours around a value of the largest depth that may arrive. */
export const CANONICAL_JSON_DEPTH_MAX = 2 * JSON_DEPTH_MAX;
/** How much of a place in a document an error names. */
export const JSON_POINTER_CHARACTERS_MAX = 200;

/** Documents fetched from addresses that a caller named. */
export const FETCH_TIMEOUT_MS = 5_000;
export const FETCH_BYTES_MAX = 64 * 1024;
export const FETCH_URL_CHARACTERS_MAX = 2_048;
export const FETCH_HEADER_BYTES_MAX = 16 * 1024;
export const FETCH_CONNECTIONS_PER_HOST_MAX = 4;

/** What a log line keeps of a value. */
export const LOG_DEPTH_MAX = 8;
export const LOG_VALUES_MAX = 1_000;
export const LOG_TEXT_CHARACTERS_MAX = 4_096;
