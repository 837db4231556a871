/** Texts that arrive in tokens and challenges. */
export const IDENTIFIER_CHARACTERS_MAX = 256;
export const URL_CHARACTERS_MAX = 2_048;
export const SCOPE_CHARACTERS_MAX = 4_096;
export const REASON_CHARACTERS_MAX = 1_000;

export const AUTHORIZATION_DETAILS_MAX = 16;
/** Actors in a chain of delegation, the current one counted. */
export const ACT_DEPTH_MAX = 8;

export const TXN_CHALLENGE_CHARACTERS_MAX = 16 * 1024;
export const TXN_CHALLENGE_LIFETIME_SECONDS_MAX = 600;
export const TXN_CHALLENGE_CLOCK_SKEW_SECONDS = 5;

export const DPOP_PROOF_CHARACTERS_MAX = 8 * 1024;
export const DPOP_PROOF_AGE_SECONDS_MAX = 300;
export const DPOP_PROOF_AHEAD_SECONDS_MAX = 5;

/** What a lease says is good for at most this long (design §4). */
export const LEASE_SECONDS_MAX = 60;
export const LEASE_WAIT_SECONDS_MAX = 5;
/** Revocations that one lease names; what would be more is a resync. */
export const LEASE_REVOCATIONS_MAX = 500;
export const LEASE_KEYS_MAX = 100;
export const LEASE_CHARACTERS_MAX = 512 * 1024;

/** Constraints that one request may add to a delegation, and that a delegation may hold with those above it. */
export const CONSTRAINTS_MAX = 32;
export const CONSTRAINTS_IN_CHAIN_MAX = 128;
export const CONSTRAINT_VALUES_MAX = 100;
/** What one token exchange may hand on: tools of one tool server, and tool servers. */
export const DELEGATED_TOOLS_MAX = 500;
export const DELEGATED_RESOURCES_MAX = 16;
export const DELEGATION_SECONDS_MAX = 31 * 24 * 60 * 60;
export const POINTER_CHARACTERS_MAX = 256;

/** What one request for a task may name. */
export const TASK_TOOL_SERVERS_MAX = 50;
export const TASK_TOOLS_MAX = 500;
export const TASK_PURPOSE_CHARACTERS_MAX = 500;
export const PURPOSE_CODE_CHARACTERS_MAX = 64;
export const TEMPLATE_NAME_CHARACTERS_MAX = 64;
/** Arguments that a budget adds up. */
export const BUDGET_AMOUNTS_MAX = 16;
/** Calls, step-ups or grants: more than anybody makes, and far from where doubles end. */
export const BUDGET_COUNT_MAX = 1_000_000_000;

/** Security event tokens that one poll brings, or reports on. */
export const SETS_IN_POLL_MAX = 1_000;
export const EVENT_TYPES_REQUESTED_MAX = 100;
export const STREAM_DESCRIPTION_CHARACTERS_MAX = 500;
export const AUTHORIZATION_HEADER_CHARACTERS_MAX = 4_096;
export const VERIFICATION_STATE_CHARACTERS_MAX = 1_024;

/** Tokens that other systems signed: those of platforms about workloads, and identity assertions. */
export const FOREIGN_TOKEN_CHARACTERS_MAX = 8 * 1024;
/** How far the clock of another system may be ahead. */
export const FOREIGN_TOKEN_CLOCK_SKEW_SECONDS = 10;
/** Of an Idempotency-Key; a UUID in quotes has 38. */
export const IDEMPOTENCY_KEY_CHARACTERS_MAX = 200;
