import { csrfToken } from '../../people/csrf.ts';
import { makeLink } from '../../people/make_link.ts';
import { disablePerson } from '../../tasks/revoke/disable_person.ts';
import { enablePerson } from '../../tasks/revoke/enable_person.ts';
import { refusal } from '../../wire/refusals.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import type { Form } from '../form.ts';
import { INVITATION_SECONDS, SIGN_IN_LINK_SECONDS } from '../limits.ts';
import { listPeople } from '../lookups.ts';
import { newLinkPage, peoplePage } from '../pages/people_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

const PURPOSE = 'people';

export function addPeopleRoutes(at: Entrances): void {
  at.showAdministrator('/people', showAll);
  at.postAdministrator('/people/invite', PURPOSE, invite);
  at.postAdministrator('/people/:id/link', PURPOSE, makeSignInLink);
  at.postAdministrator('/people/:id/disable', PURPOSE, disable);
  at.postAdministrator('/people/:id/enable', PURPOSE, enable);
}

async function showAll({ store, signedIn }: PersonalVisit): Promise<Answer> {
  return showPage(
    peoplePage({
      people: await listPeople(store),
      csrf: csrfToken(store, signedIn, PURPOSE),
      offersSignInLinks: store.rules.singleOperator,
      readerId: signedIn.person.id,
    }),
  );
}

async function invite(visit: PersonalVisit, form: Form): Promise<Answer> {
  const { token } = await makeLink(visit.store, {
    kind: 'invitation',
    isAdministrator: form.get('is_administrator') === 'yes',
    createdBy: visit.signedIn.person.id,
    ttlSeconds: INVITATION_SECONDS,
  });
  return showLink(visit, token, 'An invitation link', INVITATION_SECONDS);
}

async function makeSignInLink(visit: PersonalVisit): Promise<Answer> {
  const person = (await listPeople(visit.store)).find((one) => one.id === visit.params.id);
  if (person === undefined || !person.isActive) {
    return refuseWith(refusal('not_found', 'There is no such person, or they were disabled.'), '/people');
  }
  // Whoever can sign in as somebody else can vote as them: two people would be one.
  if (!visit.store.rules.singleOperator) {
    const words = 'Sign-in links are made in single-operator mode only. Invite the person anew instead.';
    return refuseWith(refusal('not_allowed', words), '/people');
  }
  const { token } = await makeLink(visit.store, {
    kind: 'sign_in',
    personId: person.id,
    isAdministrator: false,
    createdBy: visit.signedIn.person.id,
    ttlSeconds: SIGN_IN_LINK_SECONDS,
  });
  return showLink(visit, token, `A sign-in link for ${person.name}`, SIGN_IN_LINK_SECONDS);
}

async function disable(visit: PersonalVisit, form: Form): Promise<Answer> {
  const disabled = await disablePerson(visit.store, changeOf(visit, form));
  return disabled.ok ? goTo('/people') : refuseWith(disabled.refusal, '/people');
}

async function enable(visit: PersonalVisit, form: Form): Promise<Answer> {
  const enabled = await enablePerson(visit.store, changeOf(visit, form));
  return enabled.ok ? goTo('/people') : refuseWith(enabled.refusal, '/people');
}

function changeOf({ signedIn, params }: PersonalVisit, form: Form) {
  const by = { kind: 'person', id: signedIn.person.id } as const;
  return { personId: params.id ?? '', by, reason: form.get('reason') ?? '' };
}

function showLink(visit: PersonalVisit, token: string, what: string, seconds: number): Answer {
  const expiresAt = new Date(Date.now() + seconds * 1000);
  return showPage(newLinkPage({ url: `${visit.store.issuer}/link/${token}`, what, expiresAt }));
}
