export const BODY_BYTES_MAX = 2_097_152;
/**
 * How old a DPoP proof may be here: a guard makes one per request, so a minute is a slow clock, not a slow network. Used
 * ones are remembered a little longer than that (RFC 9449 §11.1); longer would only fill the memory of marks.
 */
export const DPOP_PROOF_SECONDS_MAX = 60;
export const DPOP_REPLAY_MS = 70_000;
/** Verified caller tokens, so that each is verified once and not with every call. */
export const VERIFIED_TOKENS_MAX = 10_000;
/** Of all callers together: a guard that waits asks again every few seconds, and as many may wait as there are places. */
export const REGISTRATIONS_PER_MINUTE = 300;
/** Long-polls of one tool server at a time; each holds a connection and asks PostgreSQL twice a second. */
export const WAITS_PER_TOOL_SERVER_MAX = 512;
/** Processes of one guard that wait for a lease at a time; each asks again every few seconds. */
export const LEASES_PER_TOOL_SERVER_MAX = 64;
/** Calls of one tool server that are decided at a time, by all its guards together; below `overload.requests_max`. */
export const EVALUATIONS_PER_TOOL_SERVER_MAX = 64;
/** A guard reports its tools when it starts and when they change. */
export const MANIFESTS_PER_MINUTE = 120;

/** SCIM (RFC 7644 §3.4.2.4): resources in one answer, if the client names no number, and at most. */
export const SCIM_PAGE_DEFAULT = 100;
export const SCIM_PAGE_MAX = 200;
export const SCIM_OPERATIONS_MAX = 1_000;
export const SCIM_FILTER_CHARACTERS_MAX = 2_000;
export const SCIM_FILTER_TERMS_MAX = 5;
/** Agents of one page of the registry. */
export const AGENTS_PER_PAGE = 100;
export const AGENTS_PER_PAGE_MAX = 500;
/** Of a security event token that is pushed to us. */
export const SET_BYTES_MAX = 65_536;
/** Messages to the world outside, in one answer. */
export const MESSAGES_PER_PAGE_MAX = 200;
/** A status list is made anew after so long; verifiers are told to ask again then, so this is how late they hear. */
export const STATUS_LIST_TTL_SECONDS = 10;
/** A verifier that cannot ask believes a list for so long. */
export const STATUS_LIST_SECONDS = 60;
/** Status lists that one process remembers: those of tokens that live are a few. */
export const STATUS_LISTS_KEPT_MAX = 64;

export const PEOPLE_PER_PAGE_MAX = 100;
