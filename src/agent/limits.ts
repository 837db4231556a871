export const REQUEST_TIMEOUT_MS = 10_000;
/** A token is renewed when this little of its life is left, at most: a call may take time to arrive. */
export const TOKEN_MARGIN_SECONDS = 20;
/** One token request, made anew where that may help. */
export const TOKEN_ATTEMPTS_MAX = 3;

/** How long `callWithApproval` goes on by default, and how often it asks when the guard does not hold the call. */
export const APPROVAL_SECONDS_MAX = 900;
export const ASK_AGAIN_MS = 2_000;
export const ASK_AGAIN_MS_MAX = 15_000;
/** One call: longer than a guard holds it. */
export const CALL_TIMEOUT_MS = 60_000;
/** Before a request that got no answer is sent once more. */
export const RETRY_MS = 1_000;
/** How long a program that was told to stop waits for its tasks to end. */
export const EXIT_MS_MAX = 5_000;
