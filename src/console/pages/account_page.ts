import { type Html, html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { PASSKEY_NAME_CHARACTERS_MAX } from '../limits.ts';
import { markedHtml } from '../marked_html.ts';
import { plural, time } from '../words.ts';
import { returnToField } from './sign_in_page.ts';

export interface PasskeyView {
  readonly credentialId: string;
  readonly name: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly isBackedUp: boolean;
}

export interface AccountPage {
  readonly displayName: string;
  readonly isAdministrator: boolean;
  readonly passkeys: readonly PasskeyView[];
  /** False while another passkey can be added only after an existing one confirmed. */
  readonly mayAdd: boolean;
  readonly csrf: string;
  readonly returnTo: string | null;
  /** The person has just come by a link and has no passkey yet. */
  readonly isWelcome: boolean;
  /** Only with a single operator can approvals go without a passkey. */
  readonly singleOperator: boolean;
}

export function accountPage(page: AccountPage): Page {
  const { passkeys } = page;
  const body = html`<div class="narrow"><h1>${page.isWelcome ? html`Welcome, ${markedHtml(page.displayName)}` : 'Your account'}</h1>
${page.isWelcome ? welcome(page) : html`<p>${markedHtml(page.displayName)}${page.isAdministrator && ', administrator'}</p>`}
<section><h2>Passkeys</h2>
${
  passkeys.length === 0
    ? html`<p class="empty">Your passkeys will be listed here. Add one below: it signs you in, and proves that it is you, and not a program on your computer, who approves.</p>`
    : html`<ul class="list">${passkeys.map((passkey) => renderPasskey(passkey, page.csrf))}</ul><p class="muted">${plural(passkeys.length, 'passkey')}. Two, on two devices, keep you from being locked out.</p>`
}
${page.mayAdd ? addForm(page) : confirmForm(page)}</section></div>`;
  return {
    title: page.isWelcome ? 'Welcome' : 'Your account',
    body,
    section: 'account',
    isFocused: page.isWelcome,
    scripts: ['simplewebauthn.js', 'passkey.js'],
  };
}

function welcome(page: AccountPage): Html {
  const later = page.returnTo ?? '/';
  return html`<p>You are signed in. Add a passkey now, so that you can sign in again and approve calls of your own agents.</p>
<p>${
    page.singleOperator
      ? html`In single-operator mode you can do without. <a href="${later}">Continue without a passkey</a>`
      : html`Without one you need a new sign-in link each time, and cannot approve calls that ask for it. <a href="${later}">Do it later, on this page</a>`
  }</p>`;
}

function addForm(page: AccountPage): Html {
  return html`<form method="post" action="/account/passkeys" class="card" data-passkey="register" data-options="/account/passkeys/options">
<input type="hidden" name="csrf" value="${page.csrf}">${returnToField(page.returnTo)}
<div class="field"><label for="passkey_name">Name of the new passkey</label><p class="hint" id="passkey-hint">So that you recognise it, as “laptop” or “phone”.</p>
<input type="text" id="passkey_name" name="name" required maxlength="${PASSKEY_NAME_CHARACTERS_MAX}" aria-describedby="passkey-hint"></div>
<noscript><p><strong>Your browser runs no JavaScript, which passkeys need.</strong></p></noscript>
<p class="error" role="alert" data-passkey-error hidden></p>
<button class="primary" disabled>Add a passkey</button></form>`;
}

function confirmForm(page: AccountPage): Html {
  return html`<form method="post" action="/account/confirmation" class="card" data-passkey="confirm" data-options="/account/confirmation/options">
<input type="hidden" name="csrf" value="${page.csrf}">
<p>To add another passkey, confirm with one you have: nobody else shall add one in your name.</p>
<noscript><p><strong>Your browser runs no JavaScript, which passkeys need.</strong></p></noscript>
<p class="error" role="alert" data-passkey-error hidden></p>
<button class="plain" disabled>Confirm and add another</button></form>`;
}

function renderPasskey(passkey: PasskeyView, csrf: string): Html {
  const action = `/account/passkeys/${encodeURIComponent(passkey.credentialId)}`;
  return html`<li><p><span class="title">${markedHtml(passkey.name)}</span><br><span class="muted">Added ${time(passkey.createdAt)}${
    passkey.lastUsedAt === null ? ', not used yet' : html`, last used ${time(passkey.lastUsedAt)}`
  }${passkey.isBackedUp && ', synchronised between your devices'}</span></p>
<details><summary>Rename or remove</summary>
<form method="post" action="${action}/rename" class="field"><input type="hidden" name="csrf" value="${csrf}">
<label for="name-${passkey.credentialId}">New name</label><input type="text" id="name-${passkey.credentialId}" name="name" required maxlength="${PASSKEY_NAME_CHARACTERS_MAX}" value="${passkey.name}">
<p></p><button class="plain">Rename</button></form>
<form method="post" action="${action}/remove"><input type="hidden" name="csrf" value="${csrf}"><button class="danger">Remove this passkey</button></form></details></li>`;
}
