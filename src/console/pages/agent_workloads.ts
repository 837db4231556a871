import type { Workload } from '../../agents/workloads.ts';
import { type Html, html } from '../../kernel/html.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';
import type { AgentView } from './agent_view.ts';

/** Which tokens of which platform are this agent. */
export function workloadsSection(page: AgentView, isGoverned: boolean): Html {
  const { workloads } = page;
  return html`<section><h2>Workloads</h2>
${
  workloads.length === 0
    ? html`<p class="empty">Jobs and services that sign in as this agent by a token of their platform, without a key to keep, will be listed here.</p>`
    : html`<ul class="list">${workloads.map((workload) => entry(page, workload, isGoverned))}</ul>`
}
${isGoverned && (page.platforms.length === 0 ? noPlatform : addForm(page))}</section>`;
}

const noPlatform = html`<p class="hint">No platform is trusted here, so none can be added. Whoever runs this server names platforms under <code>federation.workload_issuers</code> in its configuration.</p>`;

function entry(page: AgentView, workload: Workload, isGoverned: boolean): Html {
  const claims = Object.entries(workload.claims);
  return html`<li class="row apart"><p><code>${markedHtml(workload.subject)}</code><br>of ${markedHtml(workload.issuer)}${
    claims.length > 0 &&
    html`<br>with ${claims.map(([name, value]) => html`<code class="pair">${markedHtml(name)}=${markedHtml(value)}</code> `)}`
  }<br><span class="muted">${workload.last_used_at === null ? 'Not used yet' : html`Last used ${time(workload.last_used_at)}`}</span></p>${
    isGoverned &&
    html`<form method="post" action="/agents/${page.id}/workloads/remove"><input type="hidden" name="csrf" value="${page.csrf}"><input type="hidden" name="workload" value="${workload.id}"><button class="plain">Remove</button></form>`
  }</li>`;
}

function addForm(page: AgentView): Html {
  return html`<details><summary>Add a workload</summary>
<form method="post" action="/agents/${page.id}/workloads" class="card"><input type="hidden" name="csrf" value="${page.csrf}">
<p>Whoever holds such a token acts as ${markedHtml(page.name)}. Name the workload as exactly as its platform does.</p>
<div class="field"><label for="workload-issuer">Platform</label><select id="workload-issuer" name="issuer">${page.platforms.map((issuer) => html`<option value="${issuer}">${issuer}</option>`)}</select></div>
<div class="field"><label for="workload-subject">Subject</label><p class="hint" id="workload-subject-hint">As the tokens say it in <code>sub</code>: <code>repo:acme/shop:environment:production</code>. A <code>*</code> may stand for the whole last part.</p><input type="text" id="workload-subject" name="subject" required maxlength="512" aria-describedby="workload-subject-hint" spellcheck="false" autocapitalize="none"></div>
<div class="field"><label for="workload-claims">Claims</label><p class="hint" id="workload-claims-hint">What the tokens must say besides, one on each line, as name=value: <code>repository_id=123456789</code>. May stay empty.</p><textarea id="workload-claims" name="claims" rows="3" aria-describedby="workload-claims-hint" spellcheck="false" autocapitalize="none"></textarea></div>
<button class="primary">Let it sign in as this agent</button></form></details>`;
}
