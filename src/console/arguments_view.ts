import { type Html, html } from '../kernel/html.ts';
import type { ArgumentRow } from './argument_rows.ts';
import { kindsOfMarks, MARK_WORDS, markedHtml } from './marked_html.ts';

/** Every argument in full, in the order of the canonical bytes. */
export function renderArguments(rows: readonly ArgumentRow[]): Html {
  if (rows.length === 0) return html`<p>This call has no arguments.</p>`;
  return html`<dl class="arguments">${rows.map(renderRow)}</dl>`;
}

function renderRow(row: ArgumentRow): Html {
  const value = row.text === '' ? html`<span class="muted">(empty)</span>` : markedHtml(row.text);
  const box = row.isLong
    ? html`<pre class="value long" tabindex="0" role="region" aria-label="${row.name}: the whole value" data-long>${value}</pre>`
    : html`<pre class="value">${value}</pre>`;
  return html`<dt><code>${markedHtml(row.name)}</code> <span class="muted">${row.type}</span></dt><dd>${box}</dd>`;
}

/** Says, before anything else, that something in this request is made to be misread, what it is and where. */
export function renderWarnings(rows: readonly ArgumentRow[], others: Readonly<Record<string, string>>): Html | null {
  const found = [
    ...rows.map((row) => [row.name, `${row.name} ${row.text}`] as const),
    ...Object.entries(others),
  ].flatMap(([name, text]) => [...kindsOfMarks(text)].map((kind) => ({ name, kind })));
  if (found.length === 0) return null;
  const kinds = [...new Set(found.map((one) => one.kind))];
  return html`<section class="warning" role="alert" aria-labelledby="odd"><h2 id="odd">Read this one with care</h2>
<p>It contains characters that can mislead a reader. They are marked <mark>⟨like this⟩</mark> where they stand.</p>
<ul>${kinds.map((kind) => {
    const places = [...new Set(found.filter((one) => one.kind === kind).map((one) => one.name))];
    return html`<li>${MARK_WORDS[kind]}, in ${places.slice(0, 3).map((place, index) => html`${index > 0 && ', '}<code>${markedHtml(place)}</code>`)}${
      places.length > 3 && ` and ${places.length - 3} more`
    }</li>`;
  })}</ul></section>`;
}
