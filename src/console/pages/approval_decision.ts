import { type Html, html } from '../../kernel/html.ts';
import type { StepUpView } from '../../model/step_up_view.ts';
import type { ArgumentRow } from '../argument_rows.ts';
import { LONG_VALUES_NAMED_MAX, REASON_CHARACTERS_MAX } from '../limits.ts';
import { markedHtml } from '../marked_html.ts';
import { duration, plural } from '../words.ts';

export interface DecisionForms {
  readonly csrf: string;
  readonly decisionToken: string;
  /** The viewer has a passkey; if they need one and have none, they are sent to add one. */
  readonly hasPasskey: boolean;
  readonly returnTo: string | null;
}

/** What a person can say with one click; the words reach the agent as they stand. */
export const DENIAL_REASONS = [
  'This is not what I asked for.',
  'The target or the content is wrong.',
  'The arguments look suspicious.',
  'Not now.',
] as const;

export function renderDecision(view: StepUpView, rows: readonly ArgumentRow[], forms: DecisionForms): Html {
  if (view.state !== 'open') return html``;
  if (!view.viewer.mayDecide) {
    return html`<section class="card"><h2>${view.viewer.hasDecided ? 'You have decided' : 'You cannot decide this'}</h2>
<p>${view.viewer.whyNot ?? 'You are not among those who may decide this.'}</p></section>`;
  }
  return html`<div class="decide">${renderApprove(view, rows, forms)}${renderDeny(view, forms)}</div>`;
}

function renderApprove(view: StepUpView, rows: readonly ArgumentRow[], forms: DecisionForms): Html {
  const long = rows.filter((row) => row.isLong);
  const needsPasskey = view.viewer.needsPasskey;
  const action = `/step-ups/${view.id}`;
  return html`<section class="card" aria-labelledby="approve"><h2 id="approve">Approve</h2>
<p>It will allow:</p><ul class="allows">
<li>this exact call, ${times(view.grantUses)}, within ${duration(view.grantSeconds)} of the approval.</li></ul>
<p>It will not allow:</p><ul class="forbids">
<li>any other argument, not even one character: that asks again;</li>
<li>anything by another agent or in another task.</li></ul>
${otherVotes(view)}
${view.tier === 'critical' && html`<p>Take a moment: a critical call can be approved a few seconds after this page was shown.</p>`}
${
  needsPasskey && !forms.hasPasskey
    ? html`<p>Approving this needs your passkey, and you have none yet.</p><p><a class="button" href="/account?return_to=${encodeURIComponent(action)}">Add a passkey</a></p>`
    : html`<form method="post" action="${action}/decision" ${needsPasskey && passkeyAttributes(`${action}/confirmation`)}>
${hidden(forms, 'approve')}
${long.length > 0 && html`<label class="check"><input type="checkbox" name="has_read" value="yes" required data-read> <span>I have read ${names(long)} to the end</span></label>`}
${needsPasskey && html`<p>You confirm with your passkey.</p><noscript><p><strong>Your browser runs no JavaScript, which passkeys need.</strong> You can still deny.</p></noscript><p class="error" role="alert" data-passkey-error hidden></p>`}
<button class="primary" ${needsPasskey && html`disabled`}>${approveLabel(view)}</button></form>`
}</section>`;
}

function passkeyAttributes(options: string): Html {
  return html`data-passkey="confirm" data-options="${options}"`;
}

function renderDeny(view: StepUpView, forms: DecisionForms): Html {
  return html`<section class="card" aria-labelledby="deny"><h2 id="deny">Deny</h2>
<form method="post" action="/step-ups/${view.id}/decision">
${hidden(forms, 'deny')}
<fieldset><legend>Tell the agent why (optional)</legend>
${DENIAL_REASONS.map((words) => html`<label class="check"><input type="radio" name="reason_choice" value="${words}"> <span>${words}</span></label>`)}
<label for="reason">In your own words</label>
<textarea id="reason" name="reason" rows="2" maxlength="${REASON_CHARACTERS_MAX}"></textarea></fieldset>
<button class="secondary">Deny this call</button></form></section>`;
}

function hidden(forms: DecisionForms, decision: 'approve' | 'deny'): Html {
  return html`<input type="hidden" name="csrf" value="${forms.csrf}"><input type="hidden" name="token" value="${forms.decisionToken}"><input type="hidden" name="decision" value="${decision}">${
    forms.returnTo !== null && html`<input type="hidden" name="return_to" value="${forms.returnTo}">`
  }`;
}

/** The consequence stands on the button. */
export function approveLabel(view: StepUpView): string {
  const missing = view.gates.find((gate) => gate.quorum - gate.approvedBy.length > 1);
  if (missing !== undefined) return `Approve as ${missing.approvedBy.length + 1} of ${missing.quorum}`;
  return view.grantUses === 1 ? 'Approve once' : `Approve up to ${view.grantUses} times`;
}

function otherVotes(view: StepUpView): Html | null {
  const missing = view.gates.find((gate) => gate.quorum - gate.approvedBy.length > 1);
  if (missing === undefined) return null;
  return html`<p>It takes effect when ${plural(missing.quorum - missing.approvedBy.length - 1, 'more person').replace('persons', 'people')} approved it too.</p>`;
}

function times(uses: number): string {
  return uses === 1 ? 'once' : `up to ${uses} times`;
}

function names(long: readonly ArgumentRow[]): Html {
  const named = long.slice(0, LONG_VALUES_NAMED_MAX);
  const rest = long.length - named.length;
  if (rest === 0 && named.length === 1) return html`<code>${markedHtml(named[0]!.name)}</code>`;
  return html`${named.map((row, index) => html`${index > 0 && ', '}<code>${markedHtml(row.name)}</code>`)}${rest > 0 && ` and ${rest} more`}`;
}
