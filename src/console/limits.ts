/** A string longer than this, in characters or lines, scrolls in a box of its own and must be read to its end. */
export const LONG_VALUE_CHARACTERS = 1_500;
export const LONG_VALUE_LINES = 20;
/** How many long values the page names one by one before it counts the rest. */
export const LONG_VALUES_NAMED_MAX = 3;
/** The target in the headline: longer values are shown below only. */
export const TARGET_CHARACTERS_MAX = 80;
/** What fits in a box of the picture; the full text stands in the table beside it. */
export const PICTURE_CHARACTERS_MAX = 30;

/** Hops of a task that are drawn; the table beside it has all. */
export const TREE_ROWS_MAX = 40;

export const REASON_CHARACTERS_MAX = 500;
export const NAME_CHARACTERS_MAX = 200;
export const FORM_BYTES_MAX = 256 * 1024;
export const FORM_FIELDS_MAX = 4_096;
export const JSON_BODY_BYTES_MAX = 64 * 1024;

/** The live page: one wait, and how often it looks when no wake-up arrives. */
export const LIVE_WAIT_MS = 25_000;
export const LIVE_POLL_MS = 2_000;
/** Each holds a connection and asks PostgreSQL now and then. */
export const LIVE_WAITS_PER_PERSON_MAX = 32;

export const INBOX_ENTRIES_MAX = 100;
export const AUDIT_ENTRIES_MAX = 200;
export const INVITATION_SECONDS = 3 * 86_400;
export const SIGN_IN_LINK_SECONDS = 900;
export const ASSET_CACHE_SECONDS = 300;
/** Of a tool's description on the consent page; the tool server's page shows all of it. */
export const DESCRIPTION_CHARACTERS_MAX = 90;
export const PURPOSE_CHARACTERS_MAX = 500;
/** As long as the trip that the answer belongs to. */
export const UPSTREAM_ANSWER_USED_MS = 600_000;
export const PASSKEY_NAME_CHARACTERS_MAX = 100;
export const SCOPES_CHARACTERS_MAX = 2_000;
/** Tools of a review, in a hidden field; within what a form may have. */
export const TOOL_SELECTION_BYTES_MAX = 200 * 1024;
/** Messages that could not be delivered, on their page. */
export const FAILED_MESSAGES_SHOWN_MAX = 200;
