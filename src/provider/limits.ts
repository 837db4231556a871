/** How long each record of the OAuth engine lives. Refresh tokens and Grants live as long as their task. */
export const AUTHORIZATION_CODE_SECONDS = 60;
export const INTERACTION_SECONDS = 600;
/** The engine's own session only carries one authorization trip; people stay signed in by `people/`. */
export const PROVIDER_SESSION_SECONDS = 600;
export const ID_TOKEN_SECONDS = 300;
/** A token without a task: guards, and agents at the API of the issuer. */
export const CLIENT_TOKEN_SECONDS_MAX = 300;

/** Client assertions (RFC 7523) are remembered until they expire, so they must not live long. */
export const ASSERTION_SECONDS_MAX = 600;
/** How far a client's clock may be ahead. */
export const CLOCK_TOLERANCE_SECONDS = 5;
/** How long a refusal is kept back that a memory of replays which is about to begin would repeat. */
export const MEMORY_WAIT_MS_MAX = 1_500;
export const CLIENT_ASSERTION_CHARACTERS_MAX = 8 * 1024;

/** Failed token requests per client and address before the pair has to wait. */
export const TOKEN_FAILURES_MAX = 60;
export const TOKEN_FAILURE_WINDOW_SECONDS = 60;
/** From one address, which may be that of a whole office. */
export const AUTHORIZATIONS_PER_MINUTE = 600;

/** Metadata documents (CIMD): how long one is trusted before it is fetched again. */
export const CLIENT_DOCUMENT_SECONDS_MIN = 60;
export const CLIENT_DOCUMENT_SECONDS_MAX = 3_600;

/** How long the tab of a requester waits for another approver (design §5, scope challenge). */
export const STEP_UP_WAIT_SECONDS = 120;
export const STEP_UP_REFRESH_SECONDS = 3;
/** From the click that ends the browser trip to the token request that is told of the step-up. */
export const SCOPE_ECHO_SECONDS = 60;

export const FORM_BYTES_MAX = 64 * 1024;
/** Of oidc-provider (lib/shared/selective_body.js). */
export const ENGINE_BODY_BYTES_MAX = 56 * 1024;
export const CONSENT_PURPOSE_CHARACTERS_MAX = 500;
export const CONSENT_TOOLS_MAX = 500;

/** A task of a client that knows nothing of tasks goes on if it has so much time left; else another one begins. */
export const DEFAULT_TASK_LEFT_SECONDS_MIN = 60;
/** The status of a token is kept for so long after it ended, by whatever clock. */
export const STATUS_KEPT_SECONDS = 60;
