import { interactionPolicy } from 'oidc-provider';
import { findSession } from '../../people/session.ts';
import { readSessionCookie } from '../../people/session_cookie.ts';
import type { Store } from '../../store/store.ts';

/**
 * When the engine must ask a person. Beside its own rules: the person of the trip is the one who is signed in here now.
 * Consent is asked on every trip, because no Grant is ever reused without a page (`loadExistingGrant`).
 */
export function createInteractionPolicy(store: Store): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base();
  const signedIn = new interactionPolicy.Check(
    'signed_in_person',
    'the person who is signed in has changed',
    'login_required',
    async (ctx) => {
      const session = await findSession(store, readSessionCookie(ctx.get('cookie')));
      return session?.person.id !== ctx.oidc.session?.accountId;
    },
  );
  policy.get('login')?.checks.add(signedIn);
  // A client that comes back for a step-up may ask for more identity scopes than its running grant has; they are left
  // out of the answer instead of being asked for again and again.
  for (const reason of ['op_scopes_missing', 'op_claims_missing']) policy.get('consent')?.checks.remove(reason);
  return policy;
}
