/** As the port promises (src/store/ephemeral.ts). */
export const KEY_CHARACTERS_MAX = 256;
export const VALUE_BYTES_MAX = 64 * 1024;
/** How often a transaction that PostgreSQL aborted is run again, and the longest wait before the first time; it doubles. */
export const TRANSACTION_RETRIES_MAX = 3;
export const TRANSACTION_RETRY_MS = 20;
