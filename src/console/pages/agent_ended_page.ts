import { html } from '../../kernel/html.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { list, plural } from '../words.ts';

export interface AgentEndedPage {
  readonly id: string;
  readonly name: string;
  readonly how: 'suspended' | 'offboarded';
  readonly ended: {
    readonly tasks: number;
    readonly delegations: number;
    readonly step_ups: number;
    readonly grants: number;
  };
}

/** What went with it, so that whoever stopped an agent knows how much it was. */
export function agentEndedPage({ id, name, how, ended }: AgentEndedPage): Page {
  const counts = [
    ended.tasks > 0 && plural(ended.tasks, 'task'),
    ended.delegations > 0 && `${plural(ended.delegations, 'piece')} of work it handed on`,
    ended.step_ups > 0 && `${plural(ended.step_ups, 'request')} for approval`,
    ended.grants > 0 && `${plural(ended.grants, 'approval')} not used yet`,
  ].filter((words): words is string => words !== false);
  const body = html`<div class="narrow"><h1>${markedHtml(name)} is ${how}</h1>
<p>${counts.length === 0 ? 'Nothing was under way in its name.' : `With it ended: ${list(counts)}.`} Nothing more runs for it from now on; a call that runs already goes on to its end.</p>
<p><a class="button" href="/agents/${id}">To the agent</a></p></div>`;
  return { title: `${how === 'suspended' ? 'Suspended' : 'Offboarded'}`, body, section: 'agents' };
}
