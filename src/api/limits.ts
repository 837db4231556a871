export const BODY_BYTES_MAX = 2_097_152;
/** DPoP proofs are remembered this long; older ones are refused by their `iat` (RFC 9449 §11.1). */
export const DPOP_REPLAY_MS = 310_000;
/** Verified caller tokens, so that each is verified once and not with every call. */
export const VERIFIED_TOKENS_MAX = 10_000;
export const REGISTRATIONS_PER_MINUTE = 30;
