import { type Html, html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';
import { type LimitEntry, limitRows } from './budget_rows.ts';

export interface TaskEntry {
  readonly id: string;
  readonly purpose: string;
  readonly agentName: string;
  readonly requesterName: string;
  readonly state: 'active' | 'completed' | 'cancelled' | 'expired';
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | null;
  readonly mayEnd: boolean;
}

export function tasksPage(tasks: readonly TaskEntry[], csrf: string): Page {
  const active = tasks.filter((task) => task.state === 'active');
  const over = tasks.filter((task) => task.state !== 'active');
  const body = html`<h1>Tasks</h1>
<p><a href="/task-templates">Templates for recurring tasks</a></p>
<section><h2>Under way</h2>
${active.length === 0 ? html`<p class="empty">Tasks under way will be listed here. A task starts when somebody allows a program to work for them, or when an agent starts one through the API.</p>` : entries(active, csrf)}</section>
${over.length > 0 && html`<section><h2>Over</h2>${entries(over, csrf)}</section>`}`;
  return { title: 'Tasks', body, section: 'tasks' };
}

function entries(tasks: readonly TaskEntry[], csrf: string): Html {
  return html`<ul class="list">${tasks.map(
    (task) =>
      html`<li class="row apart"><p><a class="title" href="/tasks/${task.id}">${markedHtml(task.purpose)}</a><br><span class="muted">${markedHtml(task.agentName)} for ${markedHtml(task.requesterName)}, ${when(task)}</span></p>${
        task.mayEnd && endForm(task.id, csrf)
      }</li>`,
  )}</ul>`;
}

function endForm(id: string, csrf: string): Html {
  return html`<form method="post" action="/tasks/${id}/end"><input type="hidden" name="csrf" value="${csrf}"><button class="plain">End this task</button></form>`;
}

function when(task: TaskEntry): Html {
  if (task.state === 'active') return html`since ${time(task.createdAt)}, until ${time(task.expiresAt)}`;
  const words = { completed: 'completed', cancelled: 'ended', expired: 'ran out' } as const;
  return html`${words[task.state]} at ${time(task.endedAt ?? task.expiresAt)}`;
}

export interface TaskPage extends TaskEntry {
  readonly tools: readonly { readonly toolServer: string; readonly tools: readonly string[] }[];
  readonly purposeCode: string;
  readonly limits: readonly LimitEntry[];
  /** Who acted for whom, and what happened. */
  readonly history: Html;
}

export function taskPage(task: TaskPage, csrf: string): Page {
  const body = html`<h1>${markedHtml(task.purpose)}</h1>
<dl class="facts"><dt>Agent</dt><dd>${markedHtml(task.agentName)}</dd><dt>For</dt><dd>${markedHtml(task.requesterName)}</dd>
<dt>When</dt><dd>${when(task)}</dd>${task.purposeCode !== '' && html`<dt>Kind of work</dt><dd>${task.purposeCode}</dd>`}
<dt>Tools</dt><dd>${task.tools.map((one) => html`<p>${markedHtml(one.toolServer)}: ${one.tools.map((tool, index) => html`${index > 0 && ', '}<code>${markedHtml(tool)}</code>`)}</p>`)}</dd>
<dt>Limits</dt><dd>${limitRows(task.limits)}</dd>
<dt>Task id</dt><dd><code>${task.id}</code></dd></dl>
${task.mayEnd && html`<div class="card"><p>Ending it takes back its tokens at once and withdraws what waits for approval. A call that is running goes on.</p>${endForm(task.id, csrf)}</div>`}
${task.history}
<p><a href="/tasks">All tasks</a></p>`;
  return { title: 'Task', body, section: 'tasks' };
}
