import { type Html, html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';

interface ProviderEntry {
  readonly id: string;
  readonly name: string;
}

export function signInPage(returnTo: string | null, providers: readonly ProviderEntry[]): Page {
  const body = html`<div class="narrow"><h1>Sign in</h1>
${providers.length > 0 && providerLinks(returnTo, providers)}
<form method="post" action="/sign-in" class="card" data-passkey="sign_in" data-options="/sign-in/options">
${returnToField(returnTo)}
<p>Use the passkey you added on this or another of your devices.</p>
<noscript><p><strong>Your browser runs no JavaScript, which passkeys need.</strong> Use a sign-in link instead.</p></noscript>
<p class="error" role="alert" data-passkey-error hidden></p>
<button class="primary" disabled>Sign in with a passkey</button>
</form>
<p>No passkey at hand? A sign-in link works too: an administrator makes one on the page “People”. For the very first
sign-in, the server prints a set-up link when it starts.</p></div>`;
  return { title: 'Sign in', body, scripts: ['simplewebauthn.js', 'passkey.js'], isFocused: true };
}

function providerLinks(returnTo: string | null, providers: readonly ProviderEntry[]): Html {
  const query = returnTo === null ? '' : `?return_to=${encodeURIComponent(returnTo)}`;
  return html`<section class="card"><p>Use your organisation's account.</p>
${providers.map(({ id, name }) => html`<p><a class="button primary" href="/sign-in/with/${id}${query}">Sign in with ${name}</a></p>\n`)}</section>
<p class="muted">Or, if you added a passkey here:</p>`;
}

export function signedOutPage(): Page {
  const body = html`<div class="narrow"><h1>You are signed out</h1><p>This browser can no longer act for you here.</p>
<p><a class="button" href="/sign-in">Sign in again</a></p></div>`;
  return { title: 'Signed out', body, isFocused: true };
}

export function returnToField(returnTo: string | null): Html | null {
  return returnTo === null ? null : html`<input type="hidden" name="return_to" value="${returnTo}">`;
}
