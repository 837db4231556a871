import { type Html, html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { REASON_CHARACTERS_MAX } from '../limits.ts';
import { markedHtml } from '../marked_html.ts';
import { list, time } from '../words.ts';

export interface PersonEntry {
  readonly id: string;
  readonly name: string;
  readonly isAdministrator: boolean;
  readonly isActive: boolean;
  readonly passkeys: number;
  readonly createdAt: Date;
  /** By their directory, for good; what they decided still names them. */
  readonly isDeleted: boolean;
  /** Added here, by a sign-in at an identity provider, or by a directory. */
  readonly source: 'local' | 'oidc' | 'scim';
  /** What the directory calls them; null for others. */
  readonly userName: string | null;
  readonly groups: readonly string[];
}

export interface PeoplePage {
  readonly people: readonly PersonEntry[];
  readonly csrf: string;
  /** In single-operator mode; elsewhere whoever holds such a link could vote as somebody else. */
  readonly offersSignInLinks: boolean;
  /** Nobody disables themselves by mistake. */
  readonly readerId: string;
}

export function peoplePage({ people, csrf, offersSignInLinks, readerId }: PeoplePage): Page {
  const body = html`<h1>People</h1>
<ul class="list">${people.map((person) => renderPerson(person, { csrf, offersSignInLinks, isReader: person.id === readerId }))}</ul>
${people.length < 2 && html`<p class="empty">Your colleagues will be listed here. Invite those who approve: nobody decides alone about a call that asks for two.</p>`}
<section class="card"><h2>Invite somebody</h2><p>You get a link that works once. Give it to them in a way that only they can read.</p>
<form method="post" action="/people/invite"><input type="hidden" name="csrf" value="${csrf}">
<label class="check"><input type="checkbox" name="is_administrator" value="yes"> <span>As an administrator</span></label>
<button class="primary">Make an invitation link</button></form></section>`;
  return { title: 'People', body, section: 'people' };
}

interface Around {
  readonly csrf: string;
  readonly offersSignInLinks: boolean;
  readonly isReader: boolean;
}

function renderPerson(person: PersonEntry, { csrf, offersSignInLinks, isReader }: Around): Html {
  const token = html`<input type="hidden" name="csrf" value="${csrf}">`;
  const passkeys =
    person.passkeys === 0 ? 'no passkey yet' : person.passkeys === 1 ? 'one passkey' : `${person.passkeys} passkeys`;
  return html`<li class="row apart"><div><p><span class="title">${markedHtml(person.name)}</span> ${person.isAdministrator && html`<span class="tag">administrator</span>`} ${!person.isActive && html`<span class="tag">${person.isDeleted ? 'deleted' : 'disabled'}</span>`}<br><span class="muted">${
    SOURCES[person.source]
  }${person.userName !== null && html` as ${markedHtml(person.userName)}`}, since ${time(person.createdAt)}, ${passkeys}</span>${
    person.groups.length > 0 && html`<br><span class="muted">In ${markedHtml(list(person.groups))}</span>`
  }</p>${!isReader && !person.isDeleted && html`<details><summary>${person.isActive ? 'Disable' : 'Enable'}</summary>${changeForm(person, token)}</details>`}</div>${
    person.isActive &&
    offersSignInLinks &&
    html`<form method="post" action="/people/${person.id}/link">${token}<button class="plain">Make a sign-in link</button></form>`
  }</li>`;
}

const SOURCES = { local: 'Added here', oidc: 'From an identity provider', scim: 'From your directory' };

function changeForm(person: PersonEntry, token: Html): Html {
  const reason = html`<label for="reason-${person.id}">Why, for the audit</label><input type="text" id="reason-${person.id}" name="reason" maxlength="${REASON_CHARACTERS_MAX}">`;
  const again = person.source === 'scim' && html` Your directory may change this again.`;
  if (!person.isActive) {
    return html`<form method="post" action="/people/${person.id}/enable" class="field">${token}<p>They can sign in again. What ended with them stays ended.${again}</p>
${reason}<p></p><button class="plain">Enable</button></form>`;
  }
  return html`<form method="post" action="/people/${person.id}/disable" class="field">${token}<p>At once, they are signed out, tasks that run for them are cancelled, their agents pass to the deputies or are suspended, and approvals of theirs that were not used yet do not count.${again}</p>
${reason}<p></p><button class="danger">Disable ${markedHtml(person.name)}</button></form>`;
}

/** The only time the link is shown: the server keeps its hash. */
export function newLinkPage(link: { readonly url: string; readonly what: string; readonly expiresAt: Date }): Page {
  const body = html`<div class="narrow"><h1>${link.what}</h1>
<p>It works once, until ${time(link.expiresAt)}. <strong>This page shows it only now.</strong> Whoever has it can use it.</p>
<pre class="value secret">${link.url}</pre><p><a class="button" href="/people">Done</a></p></div>`;
  return { title: link.what, body, section: 'people' };
}
