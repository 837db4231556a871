/** Parts of one message. */
export const PARTS_MAX = 64;
export const REFERENCE_TASKS_MAX = 10;
export const SKILLS_MAX = 400;
/** Ids that clients choose: as long as an address of a mail message, and of characters that say nothing to a reader. */
export const MESSAGE_ID_CHARACTERS_MAX = 128;
export const TASK_ID_CHARACTERS_MAX = 256;
export const MEDIA_TYPE_CHARACTERS_MAX = 256;
export const FILENAME_CHARACTERS_MAX = 512;
/** History that a client may ask for at a time. */
export const HISTORY_LENGTH_MAX = 1_000;
export const TASK_PAGE_MAX = 100;
/** After an approval, for a caller whose token ended meanwhile to come back with another one. */
export const FRESH_TOKEN_SECONDS_MAX = 900;
/** Beyond the end of a request for approval, for the server to say that it ended. */
export const STEP_UP_GRACE_MS = 5_000;
/** Of what an agent publishes during one run, for the recorded outcome. */
export const CARD_SECONDS = 60;
export const CONTEXT_RANDOM_BYTES = 16;
