import { type Html, html } from '../../kernel/html.ts';
import type { TaskTrace, TracedDelegation, TracedEvent } from '../../tasks/trace/trace.ts';
import { delegationTree } from '../delegation_tree.ts';
import { markedHtml } from '../marked_html.ts';
import { plural, time } from '../words.ts';

/** Who acted for whom in a task, and what happened, in order. `now` is the reader's moment. */
export function traceSection(trace: TaskTrace, now: Date): Html {
  return html`<section><h2>Who acts for whom</h2>
${delegationTree(
  trace.requester.name,
  trace.delegations.map((one) => ({
    id: one.id,
    parentId: one.parentId,
    name: one.agent.name,
    detail: detailOf(one, now),
    isOver: isOver(one, now),
  })),
)}
${trace.delegations.length > 1 && delegationTable(trace.delegations, now)}</section>
<section><h2>What happened</h2>
${trace.events.length === 0 ? html`<p class="empty">Calls, requests for approval and decisions of this task will be listed here.</p>` : eventTable(trace)}
${trace.next !== null && html`<p><a href="/tasks/${trace.taskId}?after=${trace.next}">What happened after that</a></p>`}</section>`;
}

function isOver(one: TracedDelegation, now: Date): boolean {
  return one.revokedAt !== null || (one.expiresAt !== null && one.expiresAt <= now);
}

function detailOf(one: TracedDelegation, now: Date): string {
  if (one.revokedAt !== null) return 'taken back';
  if (isOver(one, now)) return 'over';
  if (one.tools === null) return 'all tools of the task';
  return plural(
    Object.values(one.tools).reduce((sum, names) => sum + names.length, 0),
    'tool',
  );
}

function delegationTable(delegations: readonly TracedDelegation[], now: Date): Html {
  return html`<details><summary>${plural(delegations.length, 'hop')} as a table</summary><div class="scroll" tabindex="0" role="region" aria-label="Hops"><table><thead><tr><th scope="col">Agent</th><th scope="col">Answers for it</th><th scope="col">May use</th><th scope="col">Since</th><th scope="col">Now</th></tr></thead><tbody>${delegations.map(
    (one) =>
      html`<tr><td>${markedHtml(one.agent.name)}</td><td>${markedHtml(one.owner.name)}</td><td>${toolsOf(one)}</td><td>${time(one.madeAt)}</td><td>${one.revokedAt === null ? (isOver(one, now) ? 'over' : 'works') : html`taken back ${time(one.revokedAt)}`}</td></tr>`,
  )}</tbody></table></div></details>`;
}

function toolsOf(one: TracedDelegation): Html {
  if (one.tools === null) return html`all tools of the task`;
  const names = Object.values(one.tools).flat();
  return html`${names.map((name, index) => html`${index > 0 && ', '}<code>${markedHtml(name)}</code>`)}${
    one.constraints.length > 0 && html`, ${plural(one.constraints.length, 'condition')}`
  }`;
}

function eventTable({ events, names }: TaskTrace): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="What happened"><table><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">By</th><th scope="col">On</th></tr></thead><tbody>${events.map(
    (event) =>
      html`<tr><td>${time(event.at)}</td><td>${event.what}${event.ids.code !== undefined && event.ids.code !== null && html` <code>${event.ids.code}</code>`}</td><td>${actorOf(event, names)}</td><td>${objectOf(event, names)}</td></tr>`,
  )}</tbody></table></div>`;
}

function actorOf({ ids }: TracedEvent, names: TaskTrace['names']): Html {
  const id = ids.person ?? ids.by ?? ids.agent;
  return typeof id === 'string' ? markedHtml(names[id] ?? id) : html``;
}

function objectOf({ ids }: TracedEvent, names: TaskTrace['names']): Html {
  const tool = ids.name ?? ids.tool;
  const server = typeof ids.tool_server === 'string' ? (names[ids.tool_server] ?? null) : null;
  if (typeof tool === 'string') {
    return html`<code>${markedHtml(tool)}</code>${server !== null && html` at ${markedHtml(server)}`}`;
  }
  if (typeof ids.step_up === 'string') return html`<a href="/step-ups/${ids.step_up}">the request</a>`;
  return server === null ? html`` : markedHtml(server);
}
