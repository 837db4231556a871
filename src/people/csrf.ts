import type { SignedIn } from '../model/person.ts';
import type { Store } from '../store/store.ts';

/** The hidden field of a form that changes something: proof that our page, in this session, was its source. */
export function csrfToken(store: Pick<Store, 'vault'>, signedIn: SignedIn, purpose: string): string {
  return store.vault.hmac('csrf', textOf(signedIn, purpose)).toString('base64url');
}

export function isCsrfTokenValid(
  store: Pick<Store, 'vault'>,
  signedIn: SignedIn,
  purpose: string,
  token: string | undefined,
): boolean {
  return store.vault.isMac('csrf', textOf(signedIn, purpose), Buffer.from(token ?? '', 'base64url'));
}

// Base64url has no NUL, so that no two pairs of session and purpose give one text.
function textOf(signedIn: SignedIn, purpose: string): string {
  return `${signedIn.sessionIdHash}\0${purpose}`;
}
