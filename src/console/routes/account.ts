import type { JsonObject } from '../../kernel/json.ts';
import { beginRegistration, finishRegistration } from '../../people/add_passkey.ts';
import { ADD_PASSKEY_PURPOSE, mayAddPasskey } from '../../people/adding_passkey.ts';
import { beginConfirmation, finishConfirmation } from '../../people/confirm_passkey.ts';
import { csrfToken } from '../../people/csrf.ts';
import { listPasskeys, removePasskey, renamePasskey } from '../../people/passkeys.ts';
import { refusal } from '../../wire/refusals.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import { withBase } from '../base_path.ts';
import { type Form, readAssertion } from '../form.ts';
import { accountPage } from '../pages/account_page.ts';
import { ownPath } from '../return_to.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

const PURPOSE = 'account';

export function addAccountRoutes(at: Entrances): void {
  at.showPerson('/account', showAccount);
  at.postPerson('/account/confirmation/options', PURPOSE, beginConfirming);
  at.postPerson('/account/confirmation', PURPOSE, finishConfirming);
  at.postPerson('/account/passkeys/options', PURPOSE, beginPasskey);
  at.postPerson('/account/passkeys', PURPOSE, finishPasskey);
  at.postPerson('/account/passkeys/:credential/rename', PURPOSE, rename);
  at.postPerson('/account/passkeys/:credential/remove', PURPOSE, remove);
}

async function showAccount(visit: PersonalVisit): Promise<Answer> {
  const { store, signedIn } = visit;
  const passkeys = await listPasskeys(store, signedIn);
  return showPage(
    accountPage({
      displayName: signedIn.person.displayName,
      isAdministrator: signedIn.person.isAdministrator,
      passkeys,
      mayAdd: passkeys.length === 0 || (await mayAddPasskey(store, signedIn)),
      csrf: csrfToken(store, signedIn, PURPOSE),
      returnTo: ownPath(visit.query.get('return_to'), visit.base),
      isWelcome: visit.query.get('welcome') === 'yes' && passkeys.length === 0,
      singleOperator: store.rules.singleOperator,
    }),
  );
}

/** After the first passkey, an existing one says that it is really this person who adds another. */
async function beginConfirming(visit: PersonalVisit): Promise<Answer> {
  const begun = await beginConfirmation(visit.store, visit.signedIn, visit.rp, ADD_PASSKEY_PURPOSE);
  return begun.ok ? { kind: 'json', body: begun.value as unknown as JsonObject } : refuseWith(begun.refusal);
}

async function finishConfirming(visit: PersonalVisit, form: Form): Promise<Answer> {
  const response = readAssertion(form);
  if (!response.ok) return refuseWith(response.refusal, '/account');
  const { store, signedIn, rp } = visit;
  const confirmed = await finishConfirmation(store, signedIn, rp, ADD_PASSKEY_PURPOSE, response.value);
  return confirmed.ok ? goTo('/account') : refuseWith(confirmed.refusal, '/account');
}

async function beginPasskey(visit: PersonalVisit): Promise<Answer> {
  const begun = await beginRegistration(visit.store, visit.signedIn, visit.rp);
  return begun.ok ? { kind: 'json', body: begun.value as unknown as JsonObject } : refuseWith(begun.refusal);
}

async function finishPasskey(visit: PersonalVisit, form: Form, json: JsonObject | null): Promise<Answer> {
  if (json === null) return refuseWith(refusal('request_invalid', 'Adding a passkey needs JavaScript.'), '/account');
  const response = json.response as unknown as Parameters<typeof finishRegistration>[3];
  const name = form.get('name') ?? '';
  const finished = await finishRegistration(visit.store, visit.signedIn, visit.rp, response, name);
  if (!finished.ok) return refuseWith(finished.refusal, '/account');
  return {
    kind: 'json',
    body: { location: withBase(visit.base, ownPath(form.get('return_to'), visit.base) ?? '/account') },
  };
}

async function rename(visit: PersonalVisit, form: Form): Promise<Answer> {
  const renamed = await renamePasskey(
    visit.store,
    visit.signedIn,
    visit.params.credential ?? '',
    form.get('name') ?? '',
  );
  return renamed.ok ? goTo('/account') : refuseWith(renamed.refusal, '/account');
}

async function remove(visit: PersonalVisit): Promise<Answer> {
  const removed = await removePasskey(visit.store, visit.signedIn, visit.params.credential ?? '');
  return removed.ok ? goTo('/account') : refuseWith(removed.refusal, '/account');
}
