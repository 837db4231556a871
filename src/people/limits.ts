export const DISPLAY_NAME_CHARACTERS_MAX = 200;
/** Longer cookies and link tokens are not ours; they are not even hashed. */
export const SECRET_CHARACTERS_MAX = 100;

export const LINK_SECONDS_MAX = 30 * 86_400;

export const USER_HANDLE_BYTES = 64;
export const PASSKEYS_PER_PERSON_MAX = 20;
export const PASSKEY_NAME_CHARACTERS_MAX = 100;
/** Between asking for a passkey and its answer. */
export const PASSKEY_CHALLENGE_MS = 120_000;
export const PASSKEY_NONCE_BYTES = 16;
/** By how much the clocks of two processes may differ. */
export const PASSKEY_CLOCK_SKEW_MS = 5_000;
/** How long a confirmation lets its session add a passkey. */
export const ADD_PASSKEY_MS = 120_000;
/** How long the page that used a link may send its form again, for an answer that was lost. */
export const LINK_REPEAT_SECONDS = 600;

export const API_TOKEN_SECONDS_MAX = 366 * 86_400;
export const API_TOKEN_NAME_CHARACTERS_MAX = 100;
/** When a token was last used is known to about a minute, so that using it seldom writes. */
export const API_TOKEN_USE_RECORDED_SECONDS = 60;
