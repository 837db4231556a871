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

export const USER_NAME_CHARACTERS_MAX = 320;
export const EMAIL_CHARACTERS_MAX = 320;
export const EXTERNAL_ID_CHARACTERS_MAX = 256;
export const GROUP_NAME_CHARACTERS_MAX = 200;
export const GROUP_MEMBERS_MAX = 20_000;
/** Ids of people in one event; a larger change is several. */
export const MEMBERS_PER_EVENT_MAX = 50;

/** From the sign-in page to the identity provider and back. */
export const UPSTREAM_TRIP_SECONDS = 600;
export const UPSTREAM_TRIP_COOKIE_CHARACTERS_MAX = 4_096;
/** What a provider publishes of itself is read again after so long; its keys whenever one is unknown. */
export const UPSTREAM_DISCOVERY_MS = 3_600_000;
/** By how much the clocks of the provider and this server may differ. */
export const UPSTREAM_CLOCK_SKEW_SECONDS = 30;
export const SUBJECT_CHARACTERS_MAX = 255;
export const UPSTREAM_GROUPS_MAX = 500;
export const AMR_VALUES_MAX = 10;
