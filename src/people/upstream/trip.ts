import { randomBytes } from 'node:crypto';
import type { Vault } from '../../kernel/vault.ts';
import { UPSTREAM_TRIP_COOKIE_CHARACTERS_MAX, UPSTREAM_TRIP_SECONDS } from '../limits.ts';
import { readCookie } from '../session_cookie.ts';

/** What this browser must bring back from the provider, and where it goes on then. */
export interface Trip {
  readonly providerId: string;
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  readonly returnTo: string | null;
}

const COOKIE = '__Host-countersign-upstream';
const PURPOSE = 'upstream_sign_in';
const SECRET_BYTES = 32;
// Lax: the browser comes back by a navigation from another site, and nothing else is to carry it.
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax';

export function newTrip(providerId: string, returnTo: string | null): Trip {
  const secret = () => randomBytes(SECRET_BYTES).toString('base64url');
  return { providerId, returnTo, state: secret(), nonce: secret(), codeVerifier: secret() };
}

/**
 * The trip as a cookie, sealed: an answer counts only in the browser that has asked (T10). Nothing is stored for it, so that
 * nobody fills a memory by starting trips; the newest trip of a browser is the one that counts.
 */
export function tripCookie(vault: Vault, trip: Trip, now: Date): string {
  const sealed = vault.seal(PURPOSE, JSON.stringify({ ...trip, at: now.getTime() })).toString('base64url');
  return `${COOKIE}=${sealed}; Max-Age=${UPSTREAM_TRIP_SECONDS}; ${ATTRIBUTES}`;
}

export function spentTripCookie(): string {
  return `${COOKIE}=; Max-Age=0; ${ATTRIBUTES}`;
}

/** The trip of this browser to this provider with this state; undefined if it has none, or it took too long. */
export function readTrip(
  vault: Vault,
  cookies: string | undefined,
  came: { readonly providerId: string; readonly state: string | null; readonly now: Date },
): Trip | undefined {
  const value = readCookie(cookies, COOKIE);
  if (value === undefined || value === '' || value.length > UPSTREAM_TRIP_COOKIE_CHARACTERS_MAX) return undefined;
  let opened: Trip & { readonly at: number };
  try {
    opened = JSON.parse(vault.open(PURPOSE, Buffer.from(value, 'base64url')).toString('utf8'));
  } catch {
    return undefined;
  }
  const { at, ...trip } = opened;
  const seconds = (came.now.getTime() - at) / 1000;
  const isThis = trip.providerId === came.providerId && came.state !== null && trip.state === came.state;
  return isThis && seconds <= UPSTREAM_TRIP_SECONDS ? trip : undefined;
}
