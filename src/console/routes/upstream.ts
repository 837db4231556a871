import { sha256Base64url } from '../../kernel/digest.ts';
import { signInUpstream } from '../../people/upstream/sign_in.ts';
import { newTrip, readTrip, spentTripCookie, tripCookie } from '../../people/upstream/trip.ts';
import { refusal } from '../../wire/refusals.ts';
import { type Answer, leaveFor, refuseWith } from '../answer.ts';
import { UPSTREAM_ANSWER_USED_MS } from '../limits.ts';
import { ownPath } from '../return_to.ts';
import type { Entrances } from '../routing.ts';
import type { Visit } from '../visit.ts';
import { goOnSignedIn } from './after_sign_in.ts';

/** Signing in by an identity provider: there, and back. Each has an address of its own to come back to (RFC 9700 §4.4.2.2). */
export function addUpstreamRoutes(at: Entrances): void {
  at.show('/sign-in/with/:provider', begin);
  at.show('/sign-in/callback/:provider', finish);
}

/** A link, not a form: browsers hold a form's redirect to the policy of the page. All it changes is this browser's cookie. */
async function begin(visit: Visit): Promise<Answer> {
  const { store, upstream } = visit;
  const trip = newTrip(visit.params.provider ?? '', ownPath(visit.query.get('return_to'), visit.base));
  const begun = await upstream.begin(trip, callbackOf(visit));
  if (!begun.ok) return refuseWith(begun.refusal, '/sign-in');
  return leaveFor(begun.value, tripCookie(store.vault, trip, new Date()));
}

async function finish(visit: Visit): Promise<Answer> {
  const { store, upstream, query } = visit;
  const trip = readTrip(store.vault, visit.cookies, {
    providerId: visit.params.provider ?? '',
    state: query.get('state'),
    now: new Date(),
  });
  if (trip === undefined) return refuseWith(NOT_ASKED, '/sign-in');
  const mark = `upstream_answer:${sha256Base64url(trip.state)}`;
  if (!(await store.ephemeral.putIfAbsent(mark, '1', UPSTREAM_ANSWER_USED_MS))) return refuseWith(USED, '/sign-in');
  const admitted = await upstream.finish(trip, new URL(`${callbackOf(visit)}?${query}`));
  if (!admitted.ok) return refuseWith(admitted.refusal, '/sign-in');
  const signedIn = await signInUpstream(store, admitted.value);
  if (!signedIn.ok) return refuseWith(signedIn.refusal, '/sign-in');
  return goOnSignedIn(visit, signedIn.value.cookieValue, trip.returnTo, [spentTripCookie()]);
}

const NOT_ASKED = refusal(
  'sign_in_refused',
  'This browser did not ask to be signed in by that answer: the sign-in was begun elsewhere, another one was begun after ' +
    'it, or it took longer than ten minutes. If you followed a link that somebody sent you, they may have tried to sign you ' +
    'in as somebody else.',
);
const USED = refusal('sign_in_refused', 'This answer was used already. Nobody was signed in by it again.');

function callbackOf({ store, params }: Visit): string {
  return `${store.issuer}/sign-in/callback/${encodeURIComponent(params.provider ?? '')}`;
}
