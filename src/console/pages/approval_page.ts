import { canonicalJson } from '../../kernel/canonical_json.ts';
import { type Html, html } from '../../kernel/html.ts';
import { markedLine } from '../../kernel/marked_text.ts';
import type { GateView, StepUpView } from '../../model/step_up_view.ts';
import { callRows } from '../argument_rows.ts';
import { renderArguments, renderWarnings } from '../arguments_view.ts';
import { chainPicture } from '../chain_picture.ts';
import type { Page } from '../frame.ts';
import { headline } from '../headline.ts';
import { markedHtml } from '../marked_html.ts';
import { deploymentText, list, time } from '../words.ts';
import { type DecisionForms, renderDecision } from './approval_decision.ts';
import { renderStatus } from './approval_status.ts';

export interface ApprovalPage extends DecisionForms {
  readonly view: StepUpView;
  readonly viewerId: string;
  readonly now: Date;
  /** What the live page has shown already; see `liveState`. */
  readonly liveState: string;
}

/** The page people decide on: the sentence, the exact arguments, the chain, what was decided, and the decision. */
export function approvalPage(page: ApprovalPage): Page {
  const { view } = page;
  const rows = callRows(view);
  const body = html`<article class="approval" data-live="/step-ups/${view.id}/live" data-state="${page.liveState}">
<h1>${headline(view, page.viewerId)}</h1>
<div id="status" aria-live="polite">${renderStatus(view, page.now)}${renderContinue(page)}</div>
${renderWarnings(rows.all, otherTexts(view))}
<section aria-labelledby="what"><h2 id="what">${view.state === 'open' ? 'What exactly would run' : 'What was asked for'}</h2>
${view.arguments === null ? html`<p>The arguments were destroyed at the end of their retention. Their digest remains below.</p>` : renderArguments(rows.arguments)}
${rows.answers.length > 0 && html`<h3>Answers given to the tool</h3>${renderArguments(rows.answers)}`}
${rows.facts.length > 0 && html`<h3>What the references point to now</h3>${renderArguments(rows.facts)}`}
</section>
${renderChain(view)}
${renderEarlier(view)}
<div id="decisions">${renderGates(view)}</div>
<div id="decision">${renderDecision(view, rows.all, page)}</div>
${renderTechnical(view)}
</article>`;
  return {
    title: `${markedLine(view.agent.name)}: ${markedLine(view.tool.name)}`,
    body,
    section: 'approvals',
    isFocused: true,
    scripts: ['live.js', ...(view.viewer.needsPasskey ? ['simplewebauthn.js', 'passkey.js'] : [])],
  };
}

function otherTexts(view: StepUpView): Readonly<Record<string, string>> {
  return {
    'the name of the agent': view.agent.name,
    'the purpose': view.task.purpose,
    'the name of the tool': view.tool.name,
  };
}

function renderContinue(page: ApprovalPage): Html | null {
  const { view } = page;
  if (page.returnTo === null) return null;
  if (view.state === 'open' || view.state === 'registered') {
    return view.viewer.mayDecide ? null : html`<p><a href="${page.returnTo}">Go on without waiting here</a></p>`;
  }
  return html`<p><a class="button" href="${page.returnTo}">Go back to ${markedHtml(page.view.agent.name)}</a></p>`;
}

function renderChain(view: StepUpView): Html {
  const runs = deploymentText(view.toolServer.deployment);
  return html`<section aria-labelledby="who"><h2 id="who">Who asks, and for whom</h2>
${chainPicture([
  { role: 'Person', name: view.requester.name, verb: 'asked' },
  ...view.chain.map(({ agent }, index) => ({
    role: 'Agent',
    name: agent,
    verb: index === view.chain.length - 1 ? 'calls' : 'hands on to',
  })),
  { role: 'Tool server', name: view.toolServer.name, verb: 'runs' },
  { role: riskWords(view.tool.risk), name: view.tool.name, verb: '' },
])}
<dl class="facts">
<dt>For</dt><dd>${markedHtml(view.requester.name)}</dd>
<dt>Task</dt><dd>${markedHtml(view.task.purpose)} <span class="muted">(${view.task.purposeBy === 'agent' ? 'in the agent’s own words, not checked' : 'in the requester’s words'})</span></dd>
<dt>Since, until</dt><dd>${time(view.task.startedAt)} to ${time(view.task.expiresAt)}</dd>
<dt>Agent</dt><dd>${markedHtml(view.agent.name)}, owned by ${markedHtml(view.agent.owner)}</dd>
${view.chain.length > 1 && html`<dt>Handed on by</dt><dd>${view.chain.slice(0, -1).map(({ agent, owner }, index) => html`${index > 0 && ', then '}${markedHtml(agent)}, owned by ${markedHtml(owner)}`)}</dd>`}
${view.conditions.length > 0 && html`<dt>Only where</dt><dd>${view.conditions.map((condition, index) => html`${index > 0 && '; '}<code>${markedHtml(condition)}</code>`)}</dd>`}
<dt>Through</dt><dd>${markedHtml(view.toolServer.name)} <span class="muted">at</span> <code>${markedHtml(view.toolServer.resource)}</code></dd>
<dt>Which runs</dt><dd><code>${markedHtml(runs)}</code></dd>
<dt>Asked at</dt><dd>${time(view.createdAt)}</dd>
</dl>
${view.tool.description !== '' && html`<details><summary>What the tool says about itself (not checked)</summary><pre class="value">${markedHtml(view.tool.description)}</pre></details>`}
</section>`;
}

function riskWords(risk: string): string {
  if (risk === 'critical') return 'Critical tool';
  return risk === 'write' ? 'Tool that changes things' : 'Tool that reads';
}

function renderEarlier(view: StepUpView): Html | null {
  if (view.earlier === null) return null;
  const words: Readonly<Record<string, string>> = {
    done: 'It finished.',
    failed: 'It failed.',
    unknown: 'Its outcome is not known.',
  };
  return html`<p class="note"><strong>The same action started before,</strong> at ${time(view.earlier.startedAt)}. ${words[view.earlier.outcome] ?? markedHtml(view.earlier.outcome)} Approving lets it run again.</p>`;
}

function renderGates(view: StepUpView): Html {
  return html`<section aria-labelledby="gates"><h2 id="gates">Why it needs approval</h2>
<ul class="gates">${view.gates.map(renderGate)}</ul>
${
  view.decisions.length > 0 &&
  html`<h3>Decided so far</h3><ul>${view.decisions.map(
    (one) =>
      html`<li>${one.person} ${one.decision === 'approve' ? 'approved' : 'denied'} at ${time(one.decidedAt)}${
        one.reason !== null && one.reason !== '' && html`: “${markedHtml(one.reason)}”`
      }</li>`,
  )}</ul>`
}</section>`;
}

function renderGate(gate: GateView): Html {
  const count = gate.quorum === 1 ? 'One approval' : `${gate.quorum} approvals by different people`;
  return html`<li>${gate.why} <span class="muted">${count} by ${list(gate.approvers, 'or')}; ${
    gate.approvedBy.length === 0 ? 'none yet' : `${gate.approvedBy.length} given by ${list(gate.approvedBy)}`
  }.</span></li>`;
}

function renderTechnical(view: StepUpView): Html {
  const rows: readonly (readonly [string, string])[] = [
    ['Request', view.id],
    ['Task', view.task.id],
    ['Client', view.agent.clientId],
    ['Method', view.method],
    ['Action digest', view.actionDigest],
    ['Binding digest', view.bindingDigest],
    ['Page digest', view.viewDigest],
  ];
  return html`<details class="technical"><summary>For the record: ids, digests and the exact JSON</summary>
<dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd><code>${markedHtml(value)}</code></dd>`)}</dl>
${view.arguments !== null && html`<pre class="value">${markedHtml(canonicalJson(view.arguments))}</pre>`}</details>`;
}

/** Changes whenever something on the page that others can change has changed. */
export function liveState(view: StepUpView, now: Date): string {
  const { grant, outcome } = view;
  const isGrantOver = grant !== null && (grant.revoked || grant.expiresAt <= now);
  return [view.state, view.revision, view.decisions.length, grant?.uses ?? '', isGrantOver, outcome?.state ?? ''].join(
    '.',
  );
}

/** Nothing more can happen to this request. */
export function isSettled(view: StepUpView, now: Date): boolean {
  if (view.state === 'open' || view.state === 'registered') return false;
  if (view.state !== 'approved') return true;
  if (view.outcome !== null && view.outcome.state === 'unknown') return false;
  if (view.grant === null) return false;
  return view.grant.revoked || view.grant.expiresAt <= now || view.grant.uses >= view.grant.maxUses;
}
