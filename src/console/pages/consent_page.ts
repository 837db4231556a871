import { type Html, html } from '../../kernel/html.ts';
import { markedLine } from '../../kernel/marked_text.ts';
import { countedArgument } from '../../model/budget.ts';
import type { ConsentView } from '../../model/consent_view.ts';
import type { Page } from '../frame.ts';
import { DESCRIPTION_CHARACTERS_MAX, PURPOSE_CHARACTERS_MAX } from '../limits.ts';
import { markedHtml } from '../marked_html.ts';
import { duration } from '../words.ts';

type ConsentTool = ConsentView['tools'][number];

const GROUPS = [
  { risk: 'read', title: 'Read', words: 'These run without asking you again.' },
  {
    risk: 'write',
    title: 'Change things',
    words: 'Each of these asks for approval every time, unless your policy permits it.',
  },
  { risk: 'critical', title: 'Critical', words: 'Each of these asks for approval every time.' },
] as const;

/**
 * Asks whether a client may work for this person. The form posts `decision` (`allow` or `refuse`), and with `allow`
 * also `purpose`, `purpose_code`, `seconds`, one field `tool:<name>` per chosen tool and one `budget:<field>` per limit.
 */
export function consentPage(view: ConsentView): Page {
  const action = `/interaction/${encodeURIComponent(view.uid)}/consent`;
  const body = html`<div class="narrow">
<h1>${markedHtml(view.client.name)} wants to use ${markedHtml(view.toolServer.name)} for you</h1>
<p>You are signed in as ${view.person.name}. Until you allow it, nothing happens.</p>
${renderClient(view)}
<form method="post" action="${action}" class="card">
${hidden(view, 'allow')}
${view.said !== null && renderSaid(view.client.name, view.said)}
<div class="field"><label for="purpose">What is it for?</label>
<p class="hint" id="purpose-hint">In your own words. Whoever approves its calls reads this.</p>
<input type="text" id="purpose" name="purpose" required maxlength="${PURPOSE_CHARACTERS_MAX}" aria-describedby="purpose-hint" value="${view.suggestedPurpose}"></div>
${renderPurposeCodes(view)}
<h2>What may it use?</h2>
${GROUPS.map((group) =>
  renderGroup(
    group,
    view.tools.filter((tool) => tool.risk === group.risk),
  ),
)}
<fieldset><legend>For how long?</legend>
${view.durations.map(
  (seconds) =>
    html`<label class="check"><input type="radio" name="seconds" value="${seconds}" required ${seconds === view.durationDefault && html`checked`}> <span>${duration(seconds)}</span></label>`,
)}</fieldset>
${renderBudget(view.budget)}
<p>You can end it earlier, any time, on the page “Tasks”.</p>
<button class="primary">Allow ${markedHtml(view.client.name)}</button>
</form>
<form method="post" action="${action}" class="card">
${hidden(view, 'refuse')}
<p>If you did not start this, or are not sure, refuse. Nothing is given to the program.</p>
<button class="secondary">Refuse</button>
</form></div>`;
  return { title: `Allow ${markedLine(view.client.name)}?`, body, isFocused: true };
}

function renderClient(view: ConsentView): Html {
  const { client, toolServer } = view;
  return html`<dl class="facts">
<dt>Program</dt><dd>${markedHtml(client.name)}${client.host === null ? ' (registered here)' : html`, which says it is from <strong>${markedHtml(client.host)}</strong>`}</dd>
<dt>Answer goes to</dt><dd><strong>${markedHtml(client.redirectHost)}</strong>${client.isLoopback && ' (this computer)'}</dd>
<dt>Tool server</dt><dd>${markedHtml(toolServer.name)} <span class="muted">at</span> <code>${markedHtml(toolServer.resource)}</code></dd></dl>
${
  client.isLoopback &&
  html`<p class="note"><strong>The answer stays on this computer.</strong> Any program here could be the one that asks. Allow it only if you have just started ${markedHtml(client.name)} yourself.</p>`
}`;
}

/** Words of a program: shown whole and marked, and put into no field that a person would send on as their own. */
function renderSaid(name: string, { purpose, purposeLabel }: NonNullable<ConsentView['said']>): Html {
  return html`<div class="note"><p><strong>${markedHtml(name)} says of itself</strong>, which nobody has checked:</p>
${purpose !== null && html`<p>${markedHtml(purpose)}</p>`}
${purposeLabel !== null && html`<p>Kind of work: ${purposeLabel}</p>`}</div>`;
}

function renderBudget(budget: ConsentView['budget']): Html {
  const isSuggested = budget.some(({ suggested }) => suggested !== null);
  return html`<details${isSuggested && html` open`}><summary>Limit how much it may do</summary>
<p class="hint">${isSuggested && 'The program suggests these limits itself. '}What you leave empty is not limited.</p>
${budget.map(renderLimit)}</details>`;
}

function renderLimit({ what, field, suggested }: ConsentView['budget'][number]): Html {
  const counted = countedArgument(what);
  const label =
    counted === undefined
      ? ({ calls: 'Calls, at most', step_ups: 'Requests for approval, at most' }[what] ?? 'Approved calls, at most')
      : html`<code>${markedHtml(counted.argument)}</code> of <code>${markedHtml(counted.tool)}</code>, all calls together at most`;
  return html`<div class="field"><label for="limit-${field}">${label}</label>
<input type="text" inputmode="${counted === undefined ? 'numeric' : 'decimal'}" id="limit-${field}" name="budget:${field}" maxlength="31" value="${suggested ?? ''}"></div>`;
}

function hidden(view: ConsentView, decision: 'allow' | 'refuse'): Html {
  return html`<input type="hidden" name="csrf" value="${view.csrf}"><input type="hidden" name="decision" value="${decision}">`;
}

function renderPurposeCodes(view: ConsentView): Html {
  if (view.purposeCodes.length === 1) {
    return html`<input type="hidden" name="purpose_code" value="${view.purposeCodes[0]!.code}">`;
  }
  return html`<div class="field"><label for="purpose_code">Which kind of work is it?</label>
<select id="purpose_code" name="purpose_code" required>${view.purposeCodes.map(
    ({ code, label }) => html`<option value="${code}">${label}</option>`,
  )}</select></div>`;
}

function renderGroup(group: (typeof GROUPS)[number], tools: readonly ConsentTool[]): Html | null {
  if (tools.length === 0) return null;
  return html`<fieldset><legend>${group.title} ${group.risk !== 'read' && html`<span class="tag">asks each time</span>`}</legend>
<p class="hint">${group.words}</p>${tools.map(renderTool)}</fieldset>`;
}

function renderTool(tool: ConsentTool): Html {
  const short = shortened(tool.description);
  return html`<label class="check"><input type="checkbox" name="tool:${tool.name}" value="yes" checked> <span><code>${markedHtml(tool.name)}</code>${
    short !== '' && html`<br><span class="muted">${markedHtml(short)}</span>`
  }</span></label>`;
}

/** The first sentence if it fits, else the whole words that fit; the mark says that there is more. */
function shortened(description: string): string {
  const line = [...description.split('\n', 1)[0]!.trim()];
  if (line.length <= DESCRIPTION_CHARACTERS_MAX) return line.join('');
  const fitting = line.slice(0, DESCRIPTION_CHARACTERS_MAX).join('');
  const sentence = /^.*?[.!?](?=\s)/.exec(fitting)?.[0];
  return `${sentence ?? fitting.replace(/\s+\S*$/, '')} …`;
}
