import { canonicalJson } from '../kernel/canonical_json.ts';
import type { StepUpView } from '../model/step_up_view.ts';
import type { Store } from '../store/store.ts';
import { DECISION_TOKEN_SECONDS_MAX } from './limits.ts';

const PURPOSE = 'decision-token';

type Shown = Pick<StepUpView, 'id' | 'revision' | 'bindingDigest' | 'viewDigest'>;

/**
 * What the form of the approval page carries: a MAC over the session, the step-up, its revision, both digests and the
 * time it was shown. A page of another session, another revision or other contents cannot decide (design-review 26).
 */
export function issueDecisionToken(
  store: Store,
  input: { readonly sessionIdHash: string; readonly view: Shown; readonly now?: Date },
): string {
  const shownAt = Math.floor((input.now ?? new Date()).getTime() / 1000);
  const text = macText(input.sessionIdHash, input.view, shownAt);
  return `${shownAt}.${store.vault.hmac(PURPOSE, text).toString('base64url')}`;
}

export type DecisionToken =
  | { readonly kind: 'valid'; readonly shownSecondsAgo: number }
  | { readonly kind: 'outdated' };

export function readDecisionToken(
  store: Store,
  input: { readonly token: string; readonly sessionIdHash: string; readonly view: Shown; readonly now: Date },
): DecisionToken {
  const [shownText = '', given = ''] = input.token.split('.');
  const shownAt = Number(shownText);
  if (!/^\d{10,11}$/.test(shownText)) return { kind: 'outdated' };
  const text = macText(input.sessionIdHash, input.view, shownAt);
  if (!store.vault.isMac(PURPOSE, text, Buffer.from(given, 'base64url'))) return { kind: 'outdated' };
  const shownSecondsAgo = input.now.getTime() / 1000 - shownAt;
  return shownSecondsAgo > DECISION_TOKEN_SECONDS_MAX ? { kind: 'outdated' } : { kind: 'valid', shownSecondsAgo };
}

/** What a passkey confirmation is asked for: approving and denying are different purposes. */
export function decisionPurpose(view: Shown, decision: 'approve' | 'deny'): string {
  return `decision:${decision}:${view.id}:${view.revision}:${view.bindingDigest}:${view.viewDigest}`;
}

function macText(sessionIdHash: string, view: Shown, shownAt: number): string {
  const { id, revision, bindingDigest, viewDigest } = view;
  return canonicalJson({ session: sessionIdHash, id, revision, bindingDigest, viewDigest, shownAt });
}
