import { newSecret } from '../../kernel/ids.ts';
import type { JsonObject } from '../../kernel/json.ts';
import { endSession } from '../../people/session.ts';
import { expiredSessionCookie, sessionCookie } from '../../people/session_cookie.ts';
import { beginSignIn, finishSignIn } from '../../people/sign_in.ts';
import { findLink, useLink } from '../../people/use_link.ts';
import { refusal } from '../../wire/refusals.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import { withBase } from '../base_path.ts';
import type { Form } from '../form.ts';
import { linkPage } from '../pages/link_page.ts';
import { signedOutPage, signInPage } from '../pages/sign_in_page.ts';
import { ownPath } from '../return_to.ts';
import type { Entrances } from '../routing.ts';
import { type PersonalVisit, SIGN_OUT_PURPOSE, type Visit } from '../visit.ts';
import { goOnSignedIn } from './after_sign_in.ts';

/** Ways in and out: a passkey, a link that works once, and signing out. */
export function addEntryRoutes(at: Entrances): void {
  at.show('/sign-in', showSignIn);
  at.post('/sign-in/options', beginPasskey);
  at.post('/sign-in', finishPasskey);
  at.show('/link/:token', showLink);
  at.post('/link/:token', followLink);
  at.postPerson('/sign-out', SIGN_OUT_PURPOSE, signOut);
}

async function showSignIn(visit: Visit): Promise<Answer> {
  const returnTo = ownPath(visit.query.get('return_to'), visit.base);
  return visit.signedIn === null ? showPage(signInPage(returnTo, visit.upstream.list)) : goTo(returnTo ?? '/');
}

async function beginPasskey(visit: Visit): Promise<Answer> {
  return { kind: 'json', body: (await beginSignIn(visit.store, visit.rp)) as unknown as JsonObject };
}

async function finishPasskey(visit: Visit, form: Form, json: JsonObject | null): Promise<Answer> {
  if (json === null) return refuseWith(refusal('request_invalid', 'Signing in with a passkey needs JavaScript.'));
  const response = json.response as unknown as Parameters<typeof finishSignIn>[2];
  const finished = await finishSignIn(visit.store, visit.rp, response);
  if (!finished.ok) return refuseWith(finished.refusal);
  return {
    kind: 'json',
    body: { location: withBase(visit.base, ownPath(form.get('return_to'), visit.base) ?? '/') },
    cookie: sessionCookie(finished.value.cookieValue, visit.store.rules.sessionSeconds),
  };
}

async function showLink(visit: Visit): Promise<Answer> {
  const token = visit.params.token ?? '';
  const found = await findLink(visit.store, token);
  if (!found.ok) return refuseWith(found.refusal);
  const returnTo = ownPath(visit.query.get('return_to'), visit.base);
  return showPage(linkPage({ ...found.value, token, attempt: newSecret(), returnTo }));
}

async function followLink(visit: Visit, form: Form): Promise<Answer> {
  const token = visit.params.token ?? '';
  const used = await useLink(visit.store, token, {
    displayName: form.get('display_name') ?? '',
    attempt: form.get('attempt') ?? '',
  });
  if (!used.ok) return refuseWith(used.refusal);
  return goOnSignedIn(visit, used.value.cookieValue, ownPath(form.get('return_to'), visit.base));
}

async function signOut(visit: PersonalVisit): Promise<Answer> {
  await endSession(visit.store, visit.signedIn);
  return { kind: 'page', page: signedOutPage(), cookie: expiredSessionCookie() };
}
