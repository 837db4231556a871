export const SALT_BYTES = 16;

/** Nothing that committed waits longer for its position, also when its wake-up was lost. */
export const SEAL_WAIT_MS_MAX = 100;
/** The least time between two seals: under load, events gather into one checkpoint. */
export const SEAL_INTERVAL_MS_MIN = 10;
/** Events sealed in one transaction. */
export const SEAL_EVENTS_MAX = 1_000;
/** Between attempts while the log cannot be sealed. */
export const SEAL_RETRY_MS = 1_000;

/** Rows read at a time by an export. */
export const EXPORT_PAGE_EVENTS = 1_000;
/** A line of an export: a body and a personal part. */
export const EXPORT_LINE_CHARACTERS_MAX = 1024 * 1024;
