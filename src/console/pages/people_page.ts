import { html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';

export interface PersonEntry {
  readonly id: string;
  readonly name: string;
  readonly isAdministrator: boolean;
  readonly isActive: boolean;
  readonly passkeys: number;
  readonly createdAt: Date;
}

export interface PeoplePage {
  readonly people: readonly PersonEntry[];
  readonly csrf: string;
  /** In single-operator mode; elsewhere whoever holds such a link could vote as somebody else. */
  readonly offersSignInLinks: boolean;
}

export function peoplePage({ people, csrf, offersSignInLinks }: PeoplePage): Page {
  const body = html`<h1>People</h1>
<ul class="list">${people.map(
    (person) =>
      html`<li class="row apart"><p><span class="title">${markedHtml(person.name)}</span> ${person.isAdministrator && html`<span class="tag">administrator</span>`} ${!person.isActive && html`<span class="tag">disabled</span>`}<br><span class="muted">Since ${time(person.createdAt)}, ${person.passkeys === 0 ? 'no passkey yet' : person.passkeys === 1 ? 'one passkey' : `${person.passkeys} passkeys`}</span></p>${
        person.isActive &&
        offersSignInLinks &&
        html`<form method="post" action="/people/${person.id}/link"><input type="hidden" name="csrf" value="${csrf}"><button class="plain">Make a sign-in link</button></form>`
      }</li>`,
  )}</ul>
${people.length < 2 && html`<p class="empty">Your colleagues will be listed here. Invite those who approve: nobody decides alone about a call that asks for two.</p>`}
<section class="card"><h2>Invite somebody</h2><p>You get a link that works once. Give it to them in a way that only they can read.</p>
<form method="post" action="/people/invite"><input type="hidden" name="csrf" value="${csrf}">
<label class="check"><input type="checkbox" name="is_administrator" value="yes"> <span>As an administrator</span></label>
<button class="primary">Make an invitation link</button></form></section>`;
  return { title: 'People', body, section: 'people' };
}

/** The only time the link is shown: the server keeps its hash. */
export function newLinkPage(link: { readonly url: string; readonly what: string; readonly expiresAt: Date }): Page {
  const body = html`<div class="narrow"><h1>${link.what}</h1>
<p>It works once, until ${time(link.expiresAt)}. <strong>This page shows it only now.</strong> Whoever has it can use it.</p>
<pre class="value secret">${link.url}</pre><p><a class="button" href="/people">Done</a></p></div>`;
  return { title: link.what, body, section: 'people' };
}
