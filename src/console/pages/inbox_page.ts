import { type Html, html } from '../../kernel/html.ts';
import type { StepUpSummary } from '../../model/step_up_view.ts';
import type { Page } from '../frame.ts';
import { targetOf } from '../headline.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';

export interface InboxPage {
  readonly open: readonly StepUpSummary[];
  readonly past: readonly StepUpSummary[];
  readonly isAdministrator: boolean;
  readonly toolServersWaiting: number;
}

const STATES: Readonly<Record<StepUpSummary['state'], string>> = {
  registered: 'being prepared',
  open: 'waiting',
  approved: 'approved',
  denied: 'denied',
  expired: 'expired',
  withdrawn: 'withdrawn',
};

/** What waits for this person first, then what they take part in, then what is over. */
export function inboxPage(page: InboxPage): Page {
  const yours = page.open.filter((one) => one.mayDecide);
  const others = page.open.filter((one) => !one.mayDecide);
  const body = html`<h1>Approvals</h1>
${
  page.toolServersWaiting > 0 &&
  html`<p class="note">${page.toolServersWaiting === 1 ? 'A tool server asks' : `${page.toolServersWaiting} tool servers ask`} to be registered. <a href="/tool-servers">Look at it</a></p>`
}
<section><h2>Waiting for you</h2>
${yours.length === 0 ? html`<p class="empty">Nothing waits for you. When an agent makes a risky call that you may decide about, it appears here and the agent waits.</p>` : entries(yours)}</section>
${others.length > 0 && html`<section><h2>Waiting for others</h2>${entries(others)}</section>`}
<section><h2>Earlier</h2>
${page.past.length === 0 ? html`<p class="empty">What was decided, expired or withdrawn will be listed here.</p>` : entries(page.past)}</section>`;
  return { title: 'Approvals', body, section: 'approvals' };
}

function entries(list: readonly StepUpSummary[]): Html {
  return html`<ul class="list">${list.map(
    (one) =>
      html`<li><p><a class="title" href="/step-ups/${one.id}">${markedHtml(one.agentName)} wants to run <code>${markedHtml(one.toolName)}</code> on ${markedHtml(one.toolServerName)}${target(one)}</a> ${
        one.state !== 'open' && html`<span class="tag">${STATES[one.state]}</span>`
      }<br><span class="muted">For ${markedHtml(one.requesterName)}: ${markedHtml(one.purpose)}. Asked ${time(one.createdAt)}${
        one.state === 'open' && html`, open until ${time(one.expiresAt)}`
      }.</span></p></li>`,
  )}</ul>`;
}

function target(one: StepUpSummary): Html | null {
  const found = targetOf(one);
  return found === null ? null : html` with ${found.name} <code>${markedHtml(found.text)}</code>`;
}
