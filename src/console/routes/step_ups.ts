import { decide } from '../../approvals/decide.ts';
import { decisionPurpose, issueDecisionToken } from '../../approvals/decision_token.ts';
import { viewStepUp } from '../../approvals/view.ts';
import type { JsonObject } from '../../kernel/json.ts';
import { whileParked } from '../../kernel/parking.ts';
import { Places } from '../../kernel/places.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { StepUpView } from '../../model/step_up_view.ts';
import { beginConfirmation, finishConfirmation } from '../../people/confirm_passkey.ts';
import { csrfToken } from '../../people/csrf.ts';
import { listPasskeys } from '../../people/passkeys.ts';
import { CHANNELS, waitFor } from '../../store/wake.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import { callRows } from '../argument_rows.ts';
import { type Form, readAssertion } from '../form.ts';
import { LIVE_POLL_MS, LIVE_WAIT_MS, LIVE_WAITS_PER_PERSON_MAX, REASON_CHARACTERS_MAX } from '../limits.ts';
import { DENIAL_REASONS } from '../pages/approval_decision.ts';
import { approvalPage, isSettled, liveState } from '../pages/approval_page.ts';
import { interactionPath, withReturn } from '../return_to.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

const PURPOSE = 'decision:{id}';
const waits = new Places(LIVE_WAITS_PER_PERSON_MAX);

export function addStepUpRoutes(at: Entrances): void {
  at.showPerson('/step-ups/:id', showStepUp);
  at.showPerson('/step-ups/:id/live', waitForChange);
  at.postPerson('/step-ups/:id/confirmation', PURPOSE, beginPasskey);
  at.postPerson('/step-ups/:id/decision', PURPOSE, makeDecision);
}

function viewFor(visit: PersonalVisit): Promise<Result<StepUpView, Refusal>> {
  return viewStepUp(visit.store, { stepUpId: visit.params.id ?? '', personId: visit.signedIn.person.id });
}

async function showStepUp(visit: PersonalVisit): Promise<Answer> {
  const { store, signedIn } = visit;
  const found = await viewFor(visit);
  if (!found.ok) return refuseWith(found.refusal);
  const view = found.value;
  const now = new Date();
  const hasPasskey = view.viewer.needsPasskey && (await listPasskeys(store, signedIn)).length > 0;
  return showPage(
    approvalPage({
      view,
      viewerId: signedIn.person.id,
      now,
      liveState: liveState(view, now),
      csrf: csrfToken(store, signedIn, PURPOSE.replace('{id}', view.id)),
      decisionToken: issueDecisionToken(store, { sessionIdHash: signedIn.sessionIdHash, view }),
      hasPasskey,
      returnTo: interactionPath(visit.query.get('return_to'), visit.base),
    }),
  );
}

/** Answers when the page no longer shows what is so, or after a while without change. */
async function waitForChange(visit: PersonalVisit): Promise<Answer> {
  const shown = visit.query.get('state') ?? '';
  let settled = false;
  const look = async () => {
    const found = await viewFor(visit);
    if (!found.ok) return found;
    const now = new Date();
    settled = isSettled(found.value, now);
    return settled || liveState(found.value, now) !== shown ? found : undefined;
  };
  const personId = visit.signedIn.person.id;
  if (!waits.take(personId)) {
    return refuseWith(refusal('rate_limited', `${LIVE_WAITS_PER_PERSON_MAX} pages of yours wait for news already.`));
  }
  const changed = await whileParked(() =>
    waitFor(visit.store.ephemeral, CHANNELS.stepUp(visit.params.id ?? ''), look, {
      timeoutMs: LIVE_WAIT_MS,
      pollMs: LIVE_POLL_MS,
      signal: AbortSignal.any([visit.signal, visit.draining]),
    }),
  ).finally(() => waits.leave(personId));
  if (changed !== undefined && !changed.ok) return refuseWith(changed.refusal);
  return {
    kind: 'json',
    body: { changed: changed !== undefined && liveState(changed.value, new Date()) !== shown, settled },
  };
}

async function beginPasskey(visit: PersonalVisit): Promise<Answer> {
  const found = await viewFor(visit);
  if (!found.ok) return refuseWith(found.refusal);
  const purpose = decisionPurpose(found.value, 'approve');
  const begun = await beginConfirmation(visit.store, visit.signedIn, visit.rp, purpose);
  return begun.ok ? { kind: 'json', body: begun.value as unknown as JsonObject } : refuseWith(begun.refusal);
}

async function makeDecision(visit: PersonalVisit, form: Form): Promise<Answer> {
  const returnTo = interactionPath(form.get('return_to'), visit.base);
  const found = await viewFor(visit);
  if (!found.ok) return refuseWith(found.refusal);
  const view = found.value;
  const back = withReturn(`/step-ups/${view.id}`, returnTo);
  const decision = form.get('decision');
  if (decision !== 'approve' && decision !== 'deny') {
    return refuseWith(refusal('request_invalid', 'The form says neither approve nor deny.'), back);
  }
  const confirmation = await confirmationOf(visit, view, decision, form);
  if (!confirmation.ok) return refuseWith(confirmation.refusal, back);
  const decided = await decide(visit.store, {
    stepUpId: view.id,
    signedIn: visit.signedIn,
    decision,
    reason: decision === 'deny' ? reasonOf(form) : null,
    token: form.get('token') ?? '',
    confirmation: confirmation.value,
  });
  return decided.ok ? goTo(back) : refuseWith(decided.refusal, back);
}

/** What an approval needs besides the click: long values read to the end, and the passkey where one is asked for. */
async function confirmationOf(
  visit: PersonalVisit,
  view: StepUpView,
  decision: 'approve' | 'deny',
  form: Form,
): Promise<Result<{ readonly amr: readonly string[] } | null, Refusal>> {
  // Of a request that is over, `decide` says who decided; that is told first. A decision that was made is not made again.
  if (decision === 'deny' || view.state !== 'open' || view.viewer.hasDecided) return accepted(null);
  if (callRows(view).all.some((row) => row.isLong) && form.get('has_read') !== 'yes') {
    return refused(
      refusal(
        'request_invalid',
        'Some values are long. Read them to the end and say so, then approve. Nothing was changed.',
      ),
    );
  }
  if (!view.viewer.needsPasskey) return accepted(null);
  const response = readAssertion(form);
  if (!response.ok) return response;
  return finishConfirmation(visit.store, visit.signedIn, visit.rp, decisionPurpose(view, decision), response.value);
}

/** The chosen words and the person's own, in this order; only choices we offer count. */
function reasonOf(form: Form): string | null {
  const chosen = DENIAL_REASONS.find((words) => words === form.get('reason_choice'));
  const own = (form.get('reason') ?? '').replaceAll('\r\n', '\n').trim().slice(0, REASON_CHARACTERS_MAX);
  return [chosen, own].filter((words) => words !== undefined && words !== '').join(' ') || null;
}
