/** Nobody reviews more (design §3). */
export const GATED_ARGUMENT_BYTES_MAX = 64 * 1024;

/** One hold: below the 60 s that clients give a call; then the caller retries. */
export const HOLD_SECONDS_MAX = 45;
export const HOLD_PROGRESS_MS = 5_000;
/** Each keeps one connection to the caller and one to the issuer. */
export const HOLDS_MAX = 200;
/** Calls and open streams; a process that took more would answer none in time. */
export const CALLS_IN_FLIGHT_MAX = 1_000;
/** Messages that arrive at a time; each may be a mebibyte. */
export const BODIES_MAX = 200;
/** From the first byte of a body to its last. */
export const BODY_MS_MAX = 10_000;
/** What a reader may leave unread of a stream that we write, before he counts as gone. */
export const UNREAD_BYTES_MAX = 40 * 1024 * 1024;
/** Before a wait that ended early, as when the server stops, is asked for again. */
export const WAIT_PAUSE_MS = 250;
/** One long-poll at the issuer. */
export const WAIT_SECONDS_MAX = 25;
export const WAIT_RETRY_MS = 1_000;

/** Evaluations of one call: facts change, a grant goes to a parallel call, a hold ends. */
export const ROUNDS_MAX = 4;

export const ACCESS_TOKEN_CHARACTERS_MAX = 8_192;
/** Verified tokens and seen DPoP proofs that are remembered; the oldest are dropped, and verified again. */
export const VERDICTS_MAX = 10_000;
export const PROOFS_MAX = 100_000;
export const CHALLENGED_MAX = 10_000;

export const ISSUER_TIMEOUT_MS = 5_000;
export const ISSUER_CONNECTIONS_MAX = 32;
export const ISSUER_WAIT_CONNECTIONS_MAX = 256;
export const ISSUER_KEEP_ALIVE_MS = 30_000;
export const ISSUER_ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** A request whose token, or whose proof alone, the issuer refuses is sent again this often in all, with new ones. */
export const TOKEN_ATTEMPTS_MAX = 2;
export const PROOF_ATTEMPTS_MAX = 3;
export const PROOF_RETRY_MS = 1_000;
/** A guard token is renewed in the background when this part of its life is left. */
export const TOKEN_RENEWAL_FRACTION = 0.25;

/** Larger results are not kept for replay. */
export const OUTCOME_BYTES_MAX = 256 * 1024;
/** How long an outcome is reported again and again: a server that was killed is back by then. */
export const OUTCOME_REPORT_MS_MAX = 600_000;
export const OUTCOME_RETRY_MS = 500;
export const OUTCOME_RETRY_MS_MAX = 5_000;
/** How long an answer is kept back so that its outcome is recorded first. */
export const OUTCOME_WAIT_MS = 3_000;
export const REDEEM_ATTEMPTS_MAX = 3;
/** How long closing waits for calls that run. */
export const CLOSE_WAIT_MS = 5_000;

export const TOOLS_MAX = 500;
export const LIST_PAGES_MAX = 100;
export const RELIST_SECONDS = 60;
export const REGISTRATION_POLL_MS = 2_000;
export const REGISTRATION_POLL_MS_MAX = 15_000;
export const START_RETRY_MS_MAX = 30_000;

export const SUBSCRIBED_RESOURCES_MAX = 20;
export const CHALLENGE_SECONDS = 300;
/** Of an event stream or a JSON body that the tool server answers with. */
export const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;

/** One long-poll for a lease; with a shorter silence that is allowed, half of it. */
export const LEASE_WAIT_SECONDS = 5;
export const LEASE_RETRY_MS = 250;
export const LEASE_RETRY_MS_MAX = 1_000;
/** How long a call that needs approval waits for word from a server that was silent. */
export const LEASE_HEAR_MS = 2_000;
/** Before asking again after an answer that came early and told nothing. */
export const LEASE_PAUSE_MS = 250;
export const SILENCE_GATED_SECONDS = 10;
export const SILENCE_ALL_SECONDS = 60;
/** Of the clock of this machine from that of the server, beyond which nothing that needs approval runs (design §4). */
export const CLOCK_OFFSET_MS_MAX = 5_000;
/** Revocations that are remembered, and for how long: longer than any access token lives. */
export const REVOKED_MAX = 100_000;
export const REVOKED_KEPT_MS = 600_000;
/** What a token says of its time and the time of a revocation are from different clocks. */
export const REVOKED_TOLERANCE_SECONDS = 5;
/** A key id that nobody knows makes a guard look again, but not more often than this. */
export const UNKNOWN_KEY_MS_MIN = 1_000;
export const ISSUER_KEYS_AGE_MS_MAX = 600_000;

/** Nonces of DPoP proofs change every minute, and are good for some minutes after. */
export const NONCE_STEP_MS = 60_000;
export const NONCE_STEPS_KEPT = 3;
