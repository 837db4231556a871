export const SALT_BYTES = 16;
/** So that a line of an export, with its escapes, stays below what strict JSON reads. Callers bound what agents send. */
export const BODY_CHARACTERS_MAX = 16 * 1024;
export const PERSONAL_CHARACTERS_MAX = 64 * 1024;

/** Nothing that committed waits longer for its position, also when its wake-up was lost. */
export const SEAL_WAIT_MS_MAX = 100;
/** The least time between two seals: under load, events gather into one checkpoint. */
export const SEAL_INTERVAL_MS_MIN = 40;
/** Events sealed in one transaction. */
export const SEAL_EVENTS_MAX = 1_000;
/** Between attempts while the log cannot be sealed. */
export const SEAL_RETRY_MS = 1_000;

/** Events that stand alone and are written in one statement: few enough that none waits long for the others. */
export const RECORDED_TOGETHER_MAX = 100;

/** Rows read at a time by an export. */
export const EXPORT_PAGE_EVENTS = 1_000;
