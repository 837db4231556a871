export const EPHEMERAL_ENTRIES_MAX = 200_000;
export const ARTIFACTS_MAX = 100_000;
/** Expired entries that nobody asks for are dropped at most this often, since that looks at all of them. */
export const SWEEP_INTERVAL_MS = 1_000;
/** A save that was under way when its grant was revoked arrives long before this. */
export const REVOKED_GRANT_MS = 2 * 86_400_000;
