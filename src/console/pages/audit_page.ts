import { type Html, html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { plural, time } from '../words.ts';

export interface AuditEntry {
  /** Null until the sealer gives it one. */
  readonly position: number | null;
  readonly at: Date;
  readonly words: string;
  readonly kind: string;
  readonly ids: Readonly<Record<string, string | number | null>>;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  readonly checkpoint: {
    readonly size: number;
    readonly root: string;
    readonly note: string;
    readonly at: Date;
  } | null;
  /** Null before anybody asked to check it on this page. */
  readonly verification: { readonly isWhole: boolean; readonly words: string } | null;
  readonly csrf: string;
}

export function auditPage(page: AuditPage): Page {
  const body = html`<h1>Audit</h1>
${renderVerification(page.verification)}
<section class="card"><h2>Sealed log</h2>
${
  page.checkpoint === null
    ? html`<p>Nothing is sealed yet. The first checkpoint follows the first event within a moment.</p>`
    : html`<p>${plural(page.checkpoint.size, 'event')} sealed at ${time(page.checkpoint.at)}. Any later change to them would show.</p>
<details><summary>The signed checkpoint</summary><pre class="value">${page.checkpoint.note}</pre></details>`
}
<form method="post" action="/audit/verify"><input type="hidden" name="csrf" value="${page.csrf}"><button class="plain">Check the whole log now</button></form>
<p class="hint">To check it without trusting this server, run <code>countersign audit verify</code>.</p></section>
<p><a href="/messages">Messages that were not delivered</a> · <a href="/signals">Shared signals</a></p>
<section><h2>Latest events</h2>
${page.entries.length === 0 ? html`<p class="empty">Everything that people, agents and tool servers do here will be listed, newest first.</p>` : table(page.entries)}</section>`;
  return { title: 'Audit', body, section: 'audit' };
}

function renderVerification(verification: AuditPage['verification']): Html | null {
  if (verification === null) return null;
  return verification.isWhole
    ? html`<p class="status approved" role="status"><strong>The log is whole.</strong> ${verification.words}</p>`
    : html`<p class="warning" role="alert"><strong>The log does not verify.</strong> ${verification.words}</p>`;
}

function table(entries: readonly AuditEntry[]): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Latest events"><table><thead><tr><th scope="col">No.</th><th scope="col">When</th><th scope="col">What</th><th scope="col">Who and what for</th></tr></thead><tbody>${entries.map(
    (entry) =>
      html`<tr><td>${entry.position ?? html`<span class="muted">not sealed yet</span>`}</td><td>${time(entry.at)}</td><td>${entry.words}<br><code class="muted">${entry.kind}</code></td><td>${Object.entries(
        entry.ids,
      )
        .filter(([, id]) => id !== null)
        .map(
          ([name, id]) => html`<span class="pair">${name} <code>${markedHtml(String(id))}</code></span> `,
        )}</td></tr>`,
  )}</tbody></table></div>`;
}
