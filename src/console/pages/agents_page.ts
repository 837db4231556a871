import { type Html, html } from '../../kernel/html.ts';
import { type AgentState, stateTag } from '../agent_words.ts';
import type { Page } from '../frame.ts';
import { NAME_CHARACTERS_MAX, PURPOSE_CHARACTERS_MAX } from '../limits.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';
import { type TermChoices, termFields } from './agent_term_fields.ts';

export interface AgentEntry {
  readonly id: string;
  readonly kind: 'interactive' | 'service';
  readonly name: string;
  readonly purpose: string;
  readonly state: AgentState;
  readonly owner: string;
  readonly lastUsedAt: Date | null;
  /** What somebody should do about it, in a few words each. */
  readonly notices: readonly string[];
}

export interface AgentsPage {
  readonly agents: readonly AgentEntry[];
  readonly form: ProposalForm;
}

export interface ProposalForm {
  readonly csrf: string;
  readonly people: readonly { readonly id: string; readonly name: string }[];
  readonly ownerId: string;
  readonly choices: TermChoices;
  /** Alone, one person proposes and approves in one step. */
  readonly isAlone: boolean;
}

export function agentsPage({ agents, form }: AgentsPage): Page {
  const isOver = (agent: AgentEntry) => agent.state === 'offboarded';
  const present = [
    ...agents.filter((agent) => agent.notices.length > 0),
    ...agents.filter((agent) => agent.notices.length === 0),
  ];
  const over = agents.filter(isOver);
  const body = html`<h1>Agents</h1>
${
  agents.length === 0
    ? html`<p class="empty">Agents will be listed here. A program with a browser appears the first time somebody allows it to work for them; a service without one is proposed below.</p>`
    : entries(present.filter((agent) => !isOver(agent)))
}
${over.length > 0 && html`<details><summary>Offboarded</summary>${entries(over)}</details>`}
${proposalForm(form)}`;
  return { title: 'Agents', body, section: 'agents' };
}

function entries(agents: readonly AgentEntry[]): Html | false {
  if (agents.length === 0) return false;
  return html`<ul class="list">${agents.map(
    (agent) =>
      html`<li><p><a class="title" href="/agents/${agent.id}">${markedHtml(agent.name)}</a> ${stateTag(agent.state)} ${agent.notices.map((notice) => html`<span class="tag danger">${notice}</span> `)}<br><span class="muted">${agent.kind === 'service' ? 'Service' : 'Works for one person'}, owned by ${markedHtml(agent.owner)}${agent.purpose !== '' && html`: ${markedHtml(agent.purpose)}`}</span><br><span class="muted">${agent.lastUsedAt === null ? 'Not used yet' : html`Last used ${time(agent.lastUsedAt)}`}</span></p></li>`,
  )}</ul>`;
}

function proposalForm(form: ProposalForm): Html {
  const words = form.isAlone
    ? { title: 'Register a service agent', button: 'Register the agent' }
    : { title: 'Propose a service agent', button: 'Propose the agent' };
  return html`<details><summary>${words.title}</summary>
<form method="post" action="/agents" class="card"><input type="hidden" name="csrf" value="${form.csrf}">
${!form.isAlone && html`<p>It can do nothing until an administrator other than you approves it, exactly as you propose it here.</p>`}
<div class="field"><label for="name">Name</label><input type="text" id="name" name="name" required maxlength="${NAME_CHARACTERS_MAX}"></div>
<div class="field"><label for="purpose">What is it for?</label><input type="text" id="purpose" name="purpose" required maxlength="${PURPOSE_CHARACTERS_MAX}"></div>
<div class="field"><label for="owner">Who answers for it?</label>${personSelect('owner', form.people, form.ownerId)}</div>
<div class="field"><label for="deputy">And who, when that person cannot?</label>${personSelect('deputy', form.people, null, form.isAlone ? 'Nobody: I am alone here' : undefined)}</div>
<div class="field"><label for="jwks">Its public keys</label><p class="hint" id="jwks-hint">A JSON Web Key Set with P-256 keys, made for this agent alone. Never paste a private key.</p><textarea id="jwks" name="jwks" rows="5" required aria-describedby="jwks-hint" spellcheck="false"></textarea></div>
${termFields(form.choices, null)}
<button class="primary">${words.button}</button></form></details>`;
}

/** `nobody` is the words for leaving it open, where that is allowed. */
export function personSelect(
  name: string,
  people: readonly { readonly id: string; readonly name: string }[],
  chosenId: string | null,
  nobody?: string,
): Html {
  return html`<select id="${name}" name="${name}">${nobody !== undefined && html`<option value="">${nobody}</option>`}${
    nobody === undefined && chosenId === null && html`<option value="">Choose a person</option>`
  }${people.map(
    (person) => html`<option value="${person.id}" ${person.id === chosenId && html`selected`}>${person.name}</option>`,
  )}</select>`;
}
