import { html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { plural, time } from '../words.ts';

export interface FailedMessage {
  readonly id: string;
  readonly channel: string;
  readonly words: string;
  readonly subjectId: string;
  readonly attempts: number;
  readonly createdAt: Date;
  readonly failedAt: Date | null;
  readonly lastError: string | null;
}

/** Messages that were given up, each with a button to send it again. */
export function messagesPage(messages: readonly FailedMessage[], csrf: string): Page {
  const body = html`<h1>Messages that were not delivered</h1>
<p>What they tell of holds all the same; only those who should have been told do not know. Find out why the receiver refused, then send them again.</p>
${
  messages.length === 0
    ? html`<p class="empty">A message that a channel could not deliver for about a day, or that its receiver refused for good, will be listed here.</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label="Messages"><table><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Why not</th><th scope="col"></th></tr></thead><tbody>${messages.map(
        (one) =>
          html`<tr><td>${time(one.createdAt)}</td><td>${one.words}<br><code class="muted">${markedHtml(one.subjectId)}</code></td><td>${markedHtml(one.lastError ?? 'Not known.')}<br><span class="muted">${one.channel}, ${plural(one.attempts, 'attempt')}${
            one.failedAt !== null && html`, given up ${time(one.failedAt)}`
          }</span></td><td><form method="post" action="/messages/${one.id}/retry"><input type="hidden" name="csrf" value="${csrf}"><button class="plain">Send again</button></form></td></tr>`,
      )}</tbody></table></div>`
}
<p><a href="/audit">Audit</a></p>`;
  return { title: 'Messages', body, section: 'audit' };
}
