import { type Html, html } from '../../kernel/html.ts';
import { REFUSALS, type Refusal, type RefusalCode } from '../../wire/refusals.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';

/** What happened and what to do now, where the words for programs would not help a person. */
const FOR_PEOPLE: Partial<Record<RefusalCode, { readonly title: string; readonly next: string }>> = {
  already_decided: { title: 'This was decided already', next: 'Go back to see who decided and why.' },
  page_outdated: { title: 'The page changed meanwhile', next: 'Go back, read the current page and decide again.' },
  decided_too_fast: { title: 'That was very fast', next: 'Go back, read what would run, then decide.' },
  not_an_approver: { title: 'You cannot decide this', next: 'Ask one of the approvers the page names.' },
  passkey_required: { title: 'Your passkey is needed', next: 'Go back and confirm with your passkey.' },
  cross_site_request: {
    title: 'This did not come from our page',
    next: 'Another site may have tried to act for you. Open the page here and do it again yourself.',
  },
  sign_in_refused: { title: 'You were not signed in', next: 'Then start again from the sign-in page.' },
  sign_in_required: { title: 'Please sign in', next: 'Sign in and open the page again.' },
  not_allowed: { title: 'You may not do this', next: 'Ask an administrator.' },
  not_found: {
    title: 'There is nothing here',
    next: 'Check the address. What you look for may also be none of your business here.',
  },
  conflict: { title: 'This has changed meanwhile', next: 'Go back and reload the page.' },
  request_invalid: { title: 'Something in the form is not right', next: 'Go back, correct it and send it again.' },
  body_too_large: { title: 'That was too much', next: 'Go back and send less.' },
  rate_limited: { title: 'Too many attempts', next: 'Wait a minute, then try again.' },
  unavailable: { title: 'The server cannot answer now', next: 'Try again in a moment.' },
  step_up_expired: { title: 'The time to decide has ended', next: 'The agent can ask again.' },
};

export interface ErrorPage {
  readonly refusal: Refusal;
  /** Where to go from here; the start page if nothing is better. */
  readonly back?: string;
}

/** What happened, whether anything was changed, what to do now. */
export function errorPage({ refusal, back }: ErrorPage): Page {
  const words = FOR_PEOPLE[refusal.code] ?? { title: 'This did not work', next: REFUSALS[refusal.code].next };
  const saysUnchanged = /nothing (was|has) (changed|run)/i.test(refusal.message);
  const body = html`<div class="narrow"><h1>${words.title}</h1>
<p>${messageHtml(refusal.message)}</p>
${!saysUnchanged && html`<p><strong>Nothing was changed.</strong></p>`}
<p>${words.next}</p>
<p><a class="button" href="${back ?? '/'}">${back === undefined ? 'Go to the start page' : 'Go back'}</a></p>
<p class="muted">Code: <code>${refusal.code}</code></p></div>`;
  return { title: words.title, body };
}

/** A bug or an outage: we do not know how far it got. */
export function brokenPage(reference: string): Page {
  const body = html`<div class="narrow"><h1>Something went wrong here</h1>
<p>The server made a mistake, not you. Whether the last step took effect is not certain: open the page again and look before you repeat it.</p>
<p><a class="button" href="/">Go to the start page</a></p>
<p class="muted">Reference for the administrator: <code>${reference}</code></p></div>`;
  return { title: 'Something went wrong', body };
}

const MOMENT = /(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z)/;

/** A refusal's message, with its moments as people read them. */
function messageHtml(message: string): Html {
  return html`${message.split(MOMENT).map((part) => (MOMENT.test(part) ? time(new Date(part)) : markedHtml(part)))}`;
}
