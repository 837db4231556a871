/** Streams of one receiver, and of all receivers. */
export const STREAMS_PER_RECEIVER_MAX = 8;
export const STREAMS_MAX = 100;
/** Between two verification events that a receiver asks for. */
export const VERIFICATION_INTERVAL_SECONDS = 10;

/** How long a process may miss the wake-up that says something was sealed. */
export const FILL_POLL_MS = 1_000;
/** Between attempts while PostgreSQL does not answer. */
export const SIGNALS_RETRY_MS = 2_000;
/** Positions of the log that one transaction turns into messages of a stream. */
export const FILL_EVENTS_MAX = 500;
/** What waits in a stream, paused or not. What comes later stays in the log, and is turned into messages when there is room. */
export const STREAM_MESSAGES_MAX = 10_000;

/** Streams that one process pushes to at a time. */
export const PUSHES_AT_A_TIME_MAX = 8;
export const PUSH_POLL_MS = 1_000;
export const PUSH_SEND_MS_MAX = 15_000;
/** Nobody else pushes to a stream for so long after the last message was begun: well above what one attempt may take. */
export const PUSH_LEASE_MS = 60_000;
/** Messages one process pushes to a stream before others may have it. */
export const PUSHED_IN_A_ROW_MAX = 200;
/** Of what a receiver answers; a status and an error code are all that counts. */
export const PUSH_ANSWER_BYTES_MAX = 65_536;
/** Twice as long after each failure: 2 s, 4 s, … up to an hour. */
export const PUSH_BACK_OFF_MS = 2_000;
export const PUSH_BACK_OFF_MS_MAX = 3_600_000;
/** A receiver may ask to be left alone for so long. */
export const PUSH_PAUSE_MS_MAX = 3_600_000;
/** Attempts for a message that the receiver refuses as such; it may have read our keys too early. */
export const REFUSALS_MAX = 5;
/** A message is given up when it waited, and the receiver failed, for so long. */
export const UNDELIVERED_SECONDS_MAX = 86_400;
/** What is being sent when the process stops may end within this. */
export const PUSH_STOP_MS_MAX = 2_000;

/** Tokens that one poll brings when it does not say how many. */
export const POLL_SETS_DEFAULT = 100;
export const POLL_WAIT_SECONDS = 25;
export const POLL_WAIT_POLL_MS = 500;
/** Long-polls of one stream at a time, in one process. */
export const POLLS_PER_STREAM_MAX = 4;

/** Dead letters that are shown at a time. */
export const DEAD_LETTERS_SHOWN_MAX = 100;

/** How old a token of another transmitter may be; they try for days. What was received is remembered a day longer. */
export const RECEIVED_AGE_SECONDS_MAX = 7 * 86_400;
export const RECEIVED_AHEAD_SECONDS_MAX = 60;
/** A session that began so shortly after an event tells of its end ends too: clocks differ. */
export const SESSION_CLOCK_SECONDS = 60;
/** Refusals that are recorded in a minute, all transmitters together: anybody can send nonsense. */
export const REFUSALS_RECORDED_PER_MINUTE = 60;
