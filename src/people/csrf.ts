import { timingSafeEqual } from 'node:crypto';
import type { SignedIn } from '../model/person.ts';
import type { Store } from '../store/store.ts';

/** The hidden field of a form that changes something: proof that our page, in this session, was its source. */
export function csrfToken(store: Pick<Store, 'vault'>, signedIn: SignedIn, purpose: string): string {
  return expectedToken(store, signedIn, purpose).toString('base64url');
}

export function isCsrfTokenValid(
  store: Pick<Store, 'vault'>,
  signedIn: SignedIn,
  purpose: string,
  token: string | undefined,
): boolean {
  const expected = expectedToken(store, signedIn, purpose);
  const given = Buffer.from(token ?? '', 'base64url');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

// Base64url has no NUL, so that no two pairs of session and purpose give one text.
function expectedToken(store: Pick<Store, 'vault'>, signedIn: SignedIn, purpose: string): Buffer {
  return store.vault.hmac('csrf', `${signedIn.sessionIdHash}\0${purpose}`);
}
