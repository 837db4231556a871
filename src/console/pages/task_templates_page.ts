import { type Html, html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { duration, time } from '../words.ts';
import { type LimitEntry, limitRows } from './budget_rows.ts';

export interface TemplateEntry {
  readonly id: string;
  readonly name: string;
  readonly agentId: string;
  readonly agentName: string;
  readonly requesterName: string;
  readonly purpose: string;
  readonly purposeCode: string;
  readonly tools: readonly { readonly toolServer: string; readonly tools: readonly string[] }[];
  readonly limits: readonly LimitEntry[];
  readonly seconds: number;
  readonly state: 'pending' | 'active' | 'retired' | 'over';
  readonly proposedBy: string;
  readonly approvedBy: string | null;
  readonly createdAt: Date;
  readonly endsAt: Date | null;
  readonly mayApprove: boolean;
  readonly mayRetire: boolean;
}

const GROUPS = [
  { title: 'Waiting for approval', states: ['pending'] },
  { title: 'In force', states: ['active'] },
  { title: 'Over', states: ['retired', 'over'] },
] as const;

/** Recurring work that an agent starts without asking, once somebody has approved what it is. */
export function taskTemplatesPage(templates: readonly TemplateEntry[], csrf: string): Page {
  const body = html`<h1>Templates for tasks</h1>
<p>From a template an agent starts the same kind of task again and again, without asking. Policy still decides about every call.</p>
${templates.length === 0 && html`<p class="empty">Templates will be listed here. An agent, or a program with an API token, proposes one at <code>/api/v1/task-templates</code>; an administrator approves it here.</p>`}
${GROUPS.map(({ title, states }) => {
  const found = templates.filter(({ state }) => (states as readonly string[]).includes(state));
  return found.length > 0 && html`<section><h2>${title}</h2>${found.map((one) => renderTemplate(one, csrf))}</section>`;
})}
<p><a href="/tasks">All tasks</a></p>`;
  return { title: 'Templates for tasks', body, section: 'tasks' };
}

function renderTemplate(template: TemplateEntry, csrf: string): Html {
  const { state, agentId, agentName, requesterName } = template;
  const sentence = html`<a href="/agents/${agentId}">${markedHtml(agentName)}</a> ${state === 'pending' ? 'wants to start' : state === 'active' ? 'may start' : 'could start'} such tasks for ${markedHtml(requesterName)}`;
  return html`<div class="card"><h3>${sentence}</h3>
<dl class="facts"><dt>What for</dt><dd>${markedHtml(template.purpose)}</dd>
<dt>Name</dt><dd><code>${markedHtml(template.name)}</code></dd>
<dt>Kind of work</dt><dd>${template.purposeCode === '' ? 'not said' : html`${template.purposeCode}, which policy relies on`}</dd>
<dt>Tools</dt><dd>${template.tools.map((one) => html`<p>${markedHtml(one.toolServer)}: ${one.tools.map((tool, index) => html`${index > 0 && ', '}<code>${markedHtml(tool)}</code>`)}</p>`)}</dd>
<dt>Limits of each</dt><dd>${limitRows(template.limits)}</dd>
<dt>Each lasts</dt><dd>${duration(template.seconds)} at most</dd>
<dt>May be started</dt><dd>${template.endsAt === null ? 'until it is retired' : html`until ${time(template.endsAt)}`}</dd>
<dt>Proposed</dt><dd>${markedHtml(template.proposedBy)}, ${time(template.createdAt)}</dd>
${template.approvedBy !== null && html`<dt>Approved by</dt><dd>${markedHtml(template.approvedBy)}</dd>`}</dl>
${state === 'pending' && !template.mayApprove && html`<p class="hint">An administrator who did not propose it, and does not answer for the agent, must approve it.</p>`}
${template.mayApprove && act(template.id, 'approve', 'primary', 'Let it start such tasks', csrf)}
${template.mayRetire && act(template.id, 'retire', 'secondary', state === 'pending' ? 'Refuse it' : 'Retire it: no more tasks are started', csrf)}</div>`;
}

function act(id: string, what: 'approve' | 'retire', kind: 'primary' | 'secondary', words: string, csrf: string): Html {
  return html`<form method="post" action="/task-templates/${id}/${what}"><input type="hidden" name="csrf" value="${csrf}"><button class="${kind}">${words}</button></form>`;
}
