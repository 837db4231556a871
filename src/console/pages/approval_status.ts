import { type Html, html } from '../../kernel/html.ts';
import type { StepUpView } from '../../model/step_up_view.ts';
import { markedHtml } from '../marked_html.ts';
import { list, time } from '../words.ts';

/** Where the request stands, in one or two sentences. */
export function renderStatus(view: StepUpView, now: Date): Html {
  const [tone, words] = statusWords(view, now);
  return html`<p class="status ${tone}">${words}</p>`;
}

function statusWords(view: StepUpView, now: Date): [tone: string, words: Html] {
  switch (view.state) {
    case 'registered':
      return [
        'waiting',
        html`<strong>Being prepared.</strong> The tool server has not finished describing this call. This page follows it.`,
      ];
    case 'open':
      return ['waiting', html`<strong>Waiting for a decision</strong> until ${time(view.expiresAt)}. Nothing has run.`];
    case 'approved':
      return [
        'approved',
        html`<strong>Approved by ${by(view, 'approve')}</strong>${at(view)}. ${afterApproval(view, now)}`,
      ];
    case 'denied':
      return [
        'ended',
        html`<strong>Denied by ${by(view, 'deny')}</strong>${at(view)}. Nothing has run.${reason(view)}`,
      ];
    case 'expired':
      return [
        'ended',
        html`<strong>Expired</strong> at ${time(view.decidedAt ?? view.expiresAt)}: nobody decided in time, which counts as a denial. Nothing has run.`,
      ];
    case 'withdrawn':
      return [
        'ended',
        html`<strong>Withdrawn</strong>${at(view)}: the agent no longer waits for it. Nothing has run.${reason(view)}`,
      ];
  }
}

function afterApproval({ grant, outcome }: StepUpView, now: Date): Html {
  if (outcome?.state === 'done') return html`The call ran at ${time(outcome.redeemedAt)} and finished.`;
  if (outcome?.state === 'failed') return html`The call ran at ${time(outcome.redeemedAt)} and failed.`;
  if (outcome !== null) {
    return html`The call started at ${time(outcome.redeemedAt)} and its outcome is not known yet. If this stays so, check what it did before it is tried again.`;
  }
  if (grant === null) return html``;
  if (grant.revoked) return html`The approval was taken back before it was used. Nothing has run.`;
  if (grant.expiresAt <= now) return html`The approval was not used before ${time(grant.expiresAt)}. Nothing has run.`;
  return html`The call has not run yet. It can run until ${time(grant.expiresAt)}.`;
}

function by(view: StepUpView, decision: 'approve' | 'deny'): Html {
  const people = view.decisions.filter((one) => one.decision === decision).map((one) => one.person);
  return html`${people.length > 0 ? list([...new Set(people)]) : 'somebody'}`;
}

function at(view: StepUpView): Html | null {
  return view.decidedAt && html` at ${time(view.decidedAt)}`;
}

function reason(view: StepUpView): Html | null {
  return view.reason === null || view.reason === '' ? null : html` Reason: “${markedHtml(view.reason)}”`;
}
