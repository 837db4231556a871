import { type Html, html } from '../../kernel/html.ts';
import { markedLine } from '../../kernel/marked_text.ts';
import type { Page } from '../frame.ts';
import { NAME_CHARACTERS_MAX, PURPOSE_CHARACTERS_MAX } from '../limits.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';

export interface AgentEntry {
  readonly id: string;
  readonly kind: 'interactive' | 'service';
  readonly name: string;
  readonly purpose: string;
  readonly state: 'pending' | 'active' | 'suspended' | 'offboarded';
  readonly owner: string;
}

export interface AgentsPage {
  readonly agents: readonly AgentEntry[];
  /** What the form to register one needs; null for people who may not. */
  readonly form: AgentForm | null;
}

export interface AgentForm {
  readonly csrf: string;
  readonly people: readonly { readonly id: string; readonly name: string }[];
  readonly ownerId: string;
  readonly toolServers: readonly { readonly id: string; readonly name: string; readonly tools: readonly string[] }[];
}

export function agentsPage(page: AgentsPage): Page {
  const body = html`<h1>Agents</h1>
${
  page.agents.length === 0
    ? html`<p class="empty">Agents will be listed here. A program with a browser appears the first time somebody allows it to work for them; a service without one is registered below.</p>`
    : html`<ul class="list">${page.agents.map(
        (agent) =>
          html`<li><p><a class="title" href="/agents/${agent.id}">${markedHtml(agent.name)}</a> ${agentTag(agent.state)}<br><span class="muted">${agent.kind === 'service' ? 'Service' : 'Works for one person'}, owned by ${markedHtml(agent.owner)}${agent.purpose !== '' && html`: ${markedHtml(agent.purpose)}`}</span></p></li>`,
      )}</ul>`
}
${page.form !== null && registerForm(page.form)}`;
  return { title: 'Agents', body, section: 'agents' };
}

function agentTag(state: AgentEntry['state']): Html {
  return html`<span class="tag">${state}</span>`;
}

function registerForm(form: AgentForm): Html {
  return html`<details><summary>Register a service agent</summary>
<form method="post" action="/agents" class="card"><input type="hidden" name="csrf" value="${form.csrf}">
<div class="field"><label for="name">Name</label><input type="text" id="name" name="name" required maxlength="${NAME_CHARACTERS_MAX}"></div>
<div class="field"><label for="purpose">What is it for?</label><input type="text" id="purpose" name="purpose" required maxlength="${PURPOSE_CHARACTERS_MAX}"></div>
<div class="field"><label for="owner">Who answers for it?</label><select id="owner" name="owner">${form.people.map(
    (person) =>
      html`<option value="${person.id}" ${person.id === form.ownerId && html`selected`}>${person.name}</option>`,
  )}</select></div>
<div class="field"><label for="jwks">Its public keys</label><p class="hint" id="jwks-hint">A JSON Web Key Set with P-256 keys. Never paste a private key.</p><textarea id="jwks" name="jwks" rows="5" required aria-describedby="jwks-hint" spellcheck="false"></textarea></div>
<fieldset><legend>Which tools may its tasks ever include?</legend><p class="hint">Choose none for no bound but that of each task.</p>
${form.toolServers.length === 0 && html`<p>There is no accepted tool server yet.</p>`}
${form.toolServers.map(
  (server) =>
    html`<details><summary>${markedHtml(server.name)}</summary>${server.tools.map(
      (tool) =>
        html`<label class="check"><input type="checkbox" name="tool:${server.id}:${tool}" value="yes"> <span><code>${markedHtml(tool)}</code></span></label>`,
    )}</details>`,
)}</fieldset>
<button class="primary">Register the agent</button></form></details>`;
}

export interface AgentPage extends AgentEntry {
  readonly clientId: string;
  readonly createdAt: Date;
  /** Tool names per tool server; null if only each task bounds it. */
  readonly bound: readonly { readonly toolServer: string; readonly tools: readonly string[] }[] | null;
}

export function agentPage(agent: AgentPage): Page {
  const body = html`<h1>${markedHtml(agent.name)} ${agentTag(agent.state)}</h1>
<dl class="facts"><dt>Kind</dt><dd>${agent.kind === 'service' ? 'A service with keys of its own' : 'A program that works for one person'}</dd>
<dt>Purpose</dt><dd>${agent.purpose === '' ? 'Named at each task' : markedHtml(agent.purpose)}</dd>
<dt>Owner</dt><dd>${markedHtml(agent.owner)}</dd>
<dt>Client</dt><dd><code>${markedHtml(agent.clientId)}</code></dd>
<dt>Since</dt><dd>${time(agent.createdAt)}</dd>
<dt>Tools</dt><dd>${
    agent.bound === null
      ? 'Bounded by each task only'
      : agent.bound.map(
          (one) =>
            html`<p>${markedHtml(one.toolServer)}: ${one.tools.map((tool, index) => html`${index > 0 && ', '}<code>${markedHtml(tool)}</code>`)}</p>`,
        )
  }</dd></dl>
<p><a href="/agents">All agents</a></p>`;
  return { title: markedLine(agent.name), body, section: 'agents' };
}
