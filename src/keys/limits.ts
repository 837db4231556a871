import type { KeyPurpose } from '../store/postgres/tables.ts';

/** How often each process reads the keys, besides when it is told that they changed. */
export const KEYS_POLL_MS = 1_000;
/** A process that could not read the keys for longer may have missed that one was revoked: it signs and verifies nothing. */
export const KEYS_STALE_SECONDS_MAX = 60;
/** An unknown key id makes a process read the keys at once, but not more often than this. */
export const KEYS_UNKNOWN_ID_MS_MIN = 250;
/** How far the clocks of those who verify may differ. */
const CLOCK_TOLERANCE_SECONDS = 5;

/** The longest life of what a key signs: access and ID tokens, leases, cookies of the OAuth engine. */
export const SIGNED_SECONDS_MAX: Readonly<Record<SigningPurpose, number>> = { token: 300, lease: 60, cookie: 600 };
export type SigningPurpose = Exclude<KeyPurpose, 'checkpoint'>;

/** How long a retired key goes on to verify: what a process signed that learned last of the retirement ends by then. */
export function overlapSeconds(purpose: SigningPurpose): number {
  return SIGNED_SECONDS_MAX[purpose] + KEYS_STALE_SECONDS_MAX + CLOCK_TOLERANCE_SECONDS;
}

export const COOKIE_KEY_BYTES = 32;
/** Rows that `keys rewrap` seals anew in one statement. */
export const REWRAP_ROWS_MAX = 500;

/** Key sets that others publish: how long one is used before it is read again, whatever its publisher says. */
export const REMOTE_KEYS_FRESH_SECONDS_MIN = 60;
export const REMOTE_KEYS_FRESH_SECONDS_MAX = 600;
/** While a publisher does not answer, its last known keys are used for so long; after that nobody knows who is who. */
export const REMOTE_KEYS_STALE_SECONDS_MAX = 3_600;
/** An unknown key id makes a key set be read again, but not more often than this. */
export const REMOTE_KEYS_UNKNOWN_ID_SECONDS_MIN = 15;
/** After a failure it is not tried again for so long. */
export const REMOTE_KEYS_FAILURE_SECONDS = 3;
export const REMOTE_KEYS_MAX = 100;
export const REMOTE_KEY_SETS_MAX = 1_000;
export const REMOTE_KEY_SET_BYTES_MAX = 64 * 1024;
