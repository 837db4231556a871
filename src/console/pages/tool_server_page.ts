import { type Html, html } from '../../kernel/html.ts';
import { markedLine } from '../../kernel/marked_text.ts';
import type { RiskClass } from '../../wire/manifest.ts';
import { RISK_CLASSES } from '../../wire/manifest.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { deploymentText, plural, time } from '../words.ts';
import { stateTag } from './tool_servers_page.ts';

export interface ToolView {
  readonly name: string;
  readonly state: 'accepted' | 'proposed';
  readonly description: string;
  readonly risk: RiskClass;
  readonly digest: string;
  /** The whole definition as readable JSON. */
  readonly definition: string;
  /** What the server lists now, when it differs from what was accepted. */
  readonly proposed: { readonly digest: string; readonly definition: string; readonly risk: RiskClass | null } | null;
}

export interface ToolServerPage {
  readonly id: string;
  readonly name: string;
  readonly resource: string;
  readonly state: 'pending' | 'active' | 'suspended' | 'rejected';
  readonly deployment: string;
  readonly keyThumbprint: string;
  readonly owner: string | null;
  readonly createdAt: Date;
  readonly tools: readonly ToolView[];
  readonly csrf: string;
  /** Agents with keys of their own; one of them may act at this address. */
  readonly agents: readonly { readonly id: string; readonly name: string; readonly isActing: boolean }[];
  readonly mayPair: boolean;
  readonly mayDecide: boolean;
}

const RISK_WORDS: Readonly<Record<RiskClass, string>> = {
  read: 'read: runs without asking',
  write: 'write: asks by policy',
  critical: 'critical: always asks, and more',
};

export function toolServerPage(page: ToolServerPage): Page {
  const acting = page.agents.find(({ isActing }) => isActing);
  const body = html`<h1>${markedHtml(page.name)} ${stateTag(page.state)}</h1>
<dl class="facts">
<dt>Address</dt><dd><code>${markedHtml(page.resource)}</code></dd>
<dt>It runs</dt><dd><code>${markedHtml(deploymentText(page.deployment))}</code></dd>
<dt>Key of its guard</dt><dd><code>${markedHtml(page.keyThumbprint)}</code></dd>
<dt>Owner</dt><dd>${page.owner ?? 'nobody yet: whoever accepts it'}</dd>
${acting !== undefined && html`<dt>The agent there</dt><dd><a href="/agents/${acting.id}">${markedHtml(acting.name)}</a></dd>`}
<dt>Asked</dt><dd>${time(page.createdAt)}</dd></dl>
${page.state === 'pending' && page.mayDecide ? registration(page) : tools(page)}
${page.mayPair && pairing(page)}`;
  return { title: markedLine(page.name), body, section: 'tool_servers' };
}

function pairing(page: ToolServerPage): Html {
  return html`<form method="post" action="/tool-servers/${page.id}/agent" class="card">
<input type="hidden" name="csrf" value="${page.csrf}">
<h2>Who acts at this address?</h2>
<p>Name an agent if other agents send it work here, or if this server calls further tools itself. It may then go on with the work that callers bring, as far as they and policy let it. Leave it at nobody for a plain tool server.</p>
<div class="field"><label for="agent">Agent</label><select id="agent" name="agent"><option value="">Nobody</option>${page.agents.map(
    ({ id, name, isActing }) => html`<option value="${id}" ${isActing && html`selected`}>${markedLine(name)}</option>`,
  )}</select></div>
<button class="secondary">Save</button></form>`;
}

function registration(page: ToolServerPage): Html {
  const action = `/tool-servers/${page.id}`;
  return html`<p class="note">Accept it if you, or somebody you trust, started it. Compare the key with the one its guard printed. Approvals protect from agents, not from a tool server that lies about what it does.</p>
<form method="post" action="${action}/accept" class="card">
<input type="hidden" name="csrf" value="${page.csrf}">
<h2>How risky is each of its ${plural(page.tools.length, 'tool')}?</h2>
${page.tools.length === 0 && html`<p>It lists no tools yet. They will wait here for you when it does.</p>`}
${page.tools.map((tool) => html`<div class="tool">${describe(tool)}${riskSelect(tool.name, tool.risk)}<input type="hidden" name="shown:${tool.name}" value="${tool.digest}"></div>`)}
<button class="primary">Accept ${markedHtml(page.name)}</button></form>
<form method="post" action="${action}/reject" class="card">
<input type="hidden" name="csrf" value="${page.csrf}">
<p>Reject it if you do not know it. Its guard gets nothing and may ask again under another name.</p>
<button class="secondary">Reject</button></form>`;
}

function tools(page: ToolServerPage): Html {
  const waiting = page.tools.filter((tool) => tool.state === 'proposed' || tool.proposed !== null);
  const settled = page.tools.filter((tool) => tool.state === 'accepted' && tool.proposed === null);
  return html`${waiting.length > 0 && waitingTools(page, waiting)}
<section><h2>Tools</h2>${
    settled.length === 0
      ? html`<p class="empty">The tools that agents may be given will be listed here, once they are accepted.</p>`
      : html`<ul class="list">${settled.map((tool) => html`<li>${describe(tool)}<p><span class="tag">${RISK_WORDS[tool.risk]}</span></p></li>`)}</ul>`
  }</section>`;
}

function waitingTools(page: ToolServerPage, waiting: readonly ToolView[]): Html {
  return html`<form method="post" action="/tool-servers/${page.id}/tools" class="card">
<input type="hidden" name="csrf" value="${page.csrf}">
<h2>New or changed tools</h2>
<p>They are closed to every agent until they are accepted. Choose those you have read.</p>
${waiting.map(
  (tool) =>
    html`<div class="tool">${describe(tool)}${
      tool.proposed !== null &&
      html`<div class="diff"><div><h3>Accepted</h3><pre class="value">${difference(tool.definition, tool.proposed.definition)}</pre></div>
<div><h3>Now</h3><pre class="value">${difference(tool.proposed.definition, tool.definition)}</pre></div></div>`
    }${
      page.mayDecide &&
      html`${riskSelect(tool.name, tool.proposed?.risk ?? tool.risk)}<label class="check"><input type="checkbox" name="accept:${tool.name}" value="${tool.proposed?.digest ?? tool.digest}"> <span>Accept <code>${markedHtml(tool.name)}</code> as shown</span></label>`
    }</div>`,
)}
${page.mayDecide ? html`<button class="primary">Accept the chosen tools</button>` : html`<p>Its owner or an administrator accepts them.</p>`}</form>`;
}

function describe(tool: ToolView): Html {
  return html`<h3><code>${markedHtml(tool.name)}</code></h3>
${tool.description === '' ? html`<p class="muted">It says nothing about itself.</p>` : html`<details><summary>What it says about itself (not checked)</summary><pre class="value">${markedHtml(tool.description)}</pre></details>`}
<details><summary>Its whole definition</summary><pre class="value">${markedHtml(tool.definition)}</pre></details>`;
}

/** One side of a change: the lines that the other side does not have are marked. */
function difference(text: string, other: string): readonly Html[] {
  const known = new Set(other.split('\n'));
  return text
    .split('\n')
    .map((line) =>
      known.has(line) ? html`${markedHtml(line)}${'\n'}` : html`<b class="changed">${markedHtml(line)}</b>${'\n'}`,
    );
}

function riskSelect(name: string, risk: RiskClass): Html {
  return html`<div class="field"><label for="risk-${name}">Risk</label><select id="risk-${name}" name="risk:${name}">${RISK_CLASSES.map(
    (one) => html`<option value="${one}" ${one === risk && html`selected`}>${RISK_WORDS[one]}</option>`,
  )}</select></div>`;
}
