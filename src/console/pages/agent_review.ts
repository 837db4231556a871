import type { ReviewedTool } from '../../agents/review.ts';
import { type Html, html } from '../../kernel/html.ts';
import type { ToolSelection } from '../../store/postgres/tables.ts';
import { markedHtml } from '../marked_html.ts';
import { plural, time } from '../words.ts';
import type { AgentView } from './agent_view.ts';

/** What it was given beside what it used, with one click to take away what it does not use. */
export function reviewSection(page: AgentView): Html {
  const { review } = page;
  return html`<section><h2>What it was given, and what it used</h2>
<p class="muted">Reviewed last ${time(page.reviewedAt)}${page.reviewDueAt !== null && html`, next by ${time(page.reviewDueAt)}`}.</p>
${review.tools.length === 0 ? nothing(page) : table(page)}
${page.may.govern && html`<div class="row">${reviewForms(page)}</div>`}</section>`;
}

function nothing({ review }: AgentView): Html {
  return review.is_bounded
    ? html`<p class="empty">It was given no tool.</p>`
    : html`<p class="empty">Tools that it uses will be listed here. Only each of its tasks bounds them.</p>`;
}

function table(page: AgentView): Html {
  const { review } = page;
  const mayTake = page.may.govern && review.is_bounded;
  return html`<table class="wide-first"><thead><tr><th scope="col">Tool</th>${mayTake && html`<td></td>`}</tr></thead><tbody>${review.tools.map(
    (tool) =>
      html`<tr><td><code>${markedHtml(tool.tool)}</code> ${tool.last_used_at === null && html`<span class="tag danger">never used</span>`}<br><span class="muted">${markedHtml(tool.tool_server)}${!tool.is_listed && ', which does not list it any more'}${tool.last_used_at !== null && html`, last used ${time(tool.last_used_at)}`}</span></td>${
        mayTake && html`<td>${removeForm(page, [tool], html`Take away`, 'plain')}</td>`
      }</tr>`,
  )}</tbody></table>`;
}

function reviewForms(page: AgentView): Html {
  const { review } = page;
  const unused = review.tools.filter((tool) => tool.last_used_at === null);
  const limitTo = JSON.stringify(selectionOf(review.tools));
  return html`${
    review.is_bounded &&
    unused.length > 0 &&
    removeForm(page, unused, html`Take away the ${plural(unused.length, 'tool')} it never used`, 'primary')
  }${
    !review.is_bounded &&
    review.tools.length > 0 &&
    html`<form method="post" action="/agents/${page.id}/review"><input type="hidden" name="csrf" value="${page.csrf}"><input type="hidden" name="limit_to" value="${limitTo}"><button class="primary">Limit it to the ${plural(review.tools.length, 'tool')} it used</button></form>`
  }<form method="post" action="/agents/${page.id}/review"><input type="hidden" name="csrf" value="${page.csrf}"><button class="plain">It needs all it has: reviewed</button></form>`;
}

function removeForm(page: AgentView, tools: readonly ReviewedTool[], words: Html, style: string): Html {
  return html`<form method="post" action="/agents/${page.id}/review"><input type="hidden" name="csrf" value="${page.csrf}"><input type="hidden" name="remove" value="${JSON.stringify(selectionOf(tools))}"><button class="${style}">${words}</button></form>`;
}

function selectionOf(tools: readonly ReviewedTool[]): ToolSelection {
  const selection = new Map<string, string[]>();
  for (const { tool_server_id: id, tool } of tools) selection.set(id, [...(selection.get(id) ?? []), tool]);
  return Object.fromEntries(selection);
}
