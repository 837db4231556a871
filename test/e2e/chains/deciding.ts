import { expect } from 'vitest';
import { decideByScript } from '../../../examples/demo/approver.ts';
import { textOf } from '../../../examples/demo/scripted_person.ts';
import type { Waiting } from '../../../src/agent/index.ts';
import { decide } from '../../../src/approvals/decide.ts';
import { issueDecisionToken } from '../../../src/approvals/decision_token.ts';
import { viewStepUp } from '../../../src/approvals/view.ts';
import { findSession, startSession } from '../../../src/people/session.ts';
import { transact } from '../../../src/store/transact.ts';
import type { Colleague, Organisation } from './organisation.ts';

export interface Deciding {
  /** Every request for approval that reached whoever asked first. */
  readonly asked: Waiting[];
  readonly onWaiting: (waiting: Waiting) => void;
  /** Resolves when everybody had their say; fails if somebody decided who may not. */
  settled(): Promise<void>;
}

/** First those who answer for an agent of the chain try to approve and are refused; then Olga approves. */
export function deciding(organisation: Organisation, refusedTo: readonly Colleague[]): Deciding {
  const asked: Waiting[] = [];
  const said: Promise<void>[] = [];
  const everybody = async (waiting: Waiting): Promise<void> => {
    try {
      for (const one of refusedTo) await expectRefused(organisation, one, waiting);
    } catch (error) {
      // The test has failed: nobody waits for the end of it.
      await decideByScript(organisation.olga.pages, waiting, 'deny');
      throw error;
    }
    await decideByScript(organisation.olga.pages, waiting, 'approve');
  };
  return {
    asked,
    onWaiting: (waiting) => {
      asked.push(waiting);
      const saying = everybody(waiting);
      // Reported by `settled`; until then it must not end the process.
      saying.catch(() => {});
      said.push(saying);
    },
    settled: async () => void (await Promise.all(said)),
  };
}

/** The page offers nothing to click, and whoever decides all the same, even with a passkey, is refused. */
async function expectRefused(
  { world: { store } }: Organisation,
  { id: personId, pages }: Colleague,
  { stepUpId, approvalUrl }: Waiting,
): Promise<void> {
  const page = await pages.open(approvalUrl);
  expect(textOf(page.html)).toContain('You cannot decide this');
  expect(page.html).not.toMatch(/<form[^>]*\/decision"/);
  const { cookieValue } = await transact(store, (tx, afterCommit) =>
    startSession(store, tx, afterCommit, { personId, amr: ['link'] }),
  );
  const signedIn = (await findSession(store, cookieValue))!;
  const view = await viewStepUp(store, { stepUpId, personId });
  if (!view.ok) throw new Error(view.refusal.message);
  const decided = await decide(store, {
    stepUpId,
    signedIn,
    decision: 'approve',
    reason: null,
    token: issueDecisionToken(store, { sessionIdHash: signedIn.sessionIdHash, view: view.value }),
    confirmation: { amr: ['hwk', 'user'] },
  });
  expect(decided).toMatchObject({ ok: false, refusal: { code: 'not_an_approver' } });
}
