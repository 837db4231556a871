import { html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { NAME_CHARACTERS_MAX } from '../limits.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';
import { returnToField } from './sign_in_page.ts';

export interface LinkPage {
  readonly token: string;
  /** Random, for this showing: with it the form may be sent again when its answer was lost. */
  readonly attempt: string;
  readonly kind: 'set_up' | 'invitation' | 'sign_in';
  readonly isAdministrator: boolean;
  readonly expiresAt: Date;
  /** Whom a sign-in link signs in; null for a link that adds a person. */
  readonly displayName: string | null;
  readonly returnTo: string | null;
}

const TITLES = {
  set_up: 'Set up Countersign',
  invitation: 'Join Countersign',
  sign_in: 'Sign in',
} as const;

/** Shows what a link would do. Only its button uses it, so that scanners and previews that open links change nothing. */
export function linkPage(link: LinkPage): Page {
  const title = TITLES[link.kind];
  const body = html`<div class="narrow"><h1>${title}</h1>
<form method="post" action="/link/${link.token}" class="card">
${returnToField(link.returnTo)}
<input type="hidden" name="attempt" value="${link.attempt}">
${
  link.displayName !== null
    ? html`<p>This link signs in <strong>${markedHtml(link.displayName)}</strong> in this browser.</p><input type="hidden" name="display_name" value="">`
    : html`<p>${link.kind === 'set_up' ? 'You become the first administrator: you accept tool servers, invite people and read the audit log.' : link.isAdministrator ? 'You become an administrator.' : 'You can then let agents work for you and decide about their calls.'}</p>
<div class="field"><label for="display_name">Your name</label><p class="hint" id="name-hint">As your colleagues know you. It is shown beside everything you decide.</p>
<input type="text" id="display_name" name="display_name" autocomplete="name" required maxlength="${NAME_CHARACTERS_MAX}" aria-describedby="name-hint"></div>`
}
<button class="primary">${link.displayName !== null ? 'Sign in' : 'Continue'}</button>
</form>
<p class="muted">The link works once, until ${time(link.expiresAt)}.</p></div>`;
  return { title, body, isFocused: true };
}
