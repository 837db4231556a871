import { listPasskeys } from '../../people/passkeys.ts';
import { findSession } from '../../people/session.ts';
import { sessionCookie } from '../../people/session_cookie.ts';
import { type Answer, goTo } from '../answer.ts';
import type { Visit } from '../visit.ts';

/** On to where the person wanted to go; who has no passkey yet is asked for one on the way. */
export async function goOnSignedIn(
  visit: Visit,
  cookieValue: string,
  returnTo: string | null,
  cookies: readonly string[] = [],
): Promise<Answer> {
  const { store } = visit;
  const all = [sessionCookie(cookieValue, store.rules.sessionSeconds), ...cookies];
  const signedIn = await findSession(store, cookieValue);
  const hasPasskey = signedIn !== null && (await listPasskeys(store, signedIn)).length > 0;
  // Whoever is on the way to a decision is not asked for a passkey that this mode does not need.
  const isOnTheWay = returnTo !== null && store.rules.singleOperator;
  if (hasPasskey || isOnTheWay) return goTo(returnTo ?? '/', all);
  return goTo(`/account?welcome=yes${returnTo === null ? '' : `&return_to=${encodeURIComponent(returnTo)}`}`, all);
}
