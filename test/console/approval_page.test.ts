import { describe, expect, test } from 'vitest';
import { anonymousFrame, renderPage } from '../../src/console/frame.ts';
import type { DecisionForms } from '../../src/console/pages/approval_decision.ts';
import { approvalPage, isSettled, liveState } from '../../src/console/pages/approval_page.ts';
import type { StepUpView } from '../../src/model/step_up_view.ts';
import { SAMPLE_NOW, sampleStepUp } from './sample_views.ts';

const FRAME = anonymousFrame({ rules: { singleOperator: false }, issuer: 'http://localhost:9400' });
const FORMS: DecisionForms = { csrf: 'csrf', decisionToken: 'token', hasPasskey: true, returnTo: null };

function render(changes: Partial<StepUpView> = {}, forms: Partial<DecisionForms> = {}, viewerId = 'prs_grace'): string {
  const page = approvalPage({
    ...FORMS,
    ...forms,
    view: sampleStepUp(changes),
    viewerId,
    now: SAMPLE_NOW,
    liveState: '',
  });
  return renderPage(FRAME, page);
}

const textOf = (page: string) => page.replace(/<[^>]*>/g, '').replace(/\s+/g, ' ');
const heading = (page: string) => textOf(/<h1>(.*?)<\/h1>/s.exec(page)![1]!);
const viewer = { mayDecide: true, whyNot: null, needsPasskey: false, hasDecided: false };

describe('the approval page', () => {
  test('starts with the sentence a colleague would say, with the real target', () => {
    expect(heading(render())).toBe('Notes agent wants to run write_file on files with path /notes/plan.md, for Ada');
    expect(heading(render({}, {}, 'prs_ada'))).toMatch(/, for you$/);
    expect(heading(render({ method: 'resources/read', arguments: {} }))).toBe(
      'Notes agent wants to read write_file on files, for Ada',
    );
  });

  test('says who asks, for which task, through what, and what it runs, then what was decided, then decides', () => {
    const page = render();
    const order = ['id="what"', 'id="who"', 'id="gates"', 'id="approve"', 'id="deny"'].map((id) => page.indexOf(id));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order.every((at) => at > 0)).toBe(true);
    expect(textOf(page)).toContain('npx server-filesystem /notes');
    expect(textOf(page)).toContain('Tidy up the notes');
  });

  test('names everybody who handed the work on, and what they demand', () => {
    const page = render({
      chain: [
        { agent: 'Support agent', owner: 'Ben' },
        { agent: 'Billing agent', owner: 'Cy' },
        { agent: 'Notes agent', owner: 'Ada' },
      ],
      conditions: ['/amount is at most 250.00'],
    });
    expect(page).toMatch(
      /aria-label="Person Ada asked Agent Support agent hands on to Agent Billing agent hands on to Agent Notes agent calls/,
    );
    expect(textOf(page)).toContain('Support agent, owned by Ben, then Billing agent, owned by Cy');
    expect(textOf(page)).toContain('/amount is at most 250.00');
    expect(render()).not.toContain('Handed on by');
  });

  test('puts the consequence on the button', () => {
    expect(render()).toContain('>Approve once</button>');
    expect(render({ grantUses: 3 })).toContain('>Approve up to 3 times</button>');
    const gate = { name: 'g', why: 'w', approvers: ['the group sre'], quorum: 2, approvedBy: [], isMet: false };
    expect(render({ gates: [gate] })).toContain('>Approve as 1 of 2</button>');
    expect(textOf(render())).toContain('this exact call, once, within 5 minutes of the approval');
  });

  test('preselects nothing', () => {
    expect(render()).not.toMatch(/<[^>]* (checked|selected)\b/);
  });

  test('asks for the passkey where one is needed, and sends who has none to add one', () => {
    const needsPasskey = { viewer: { ...viewer, needsPasskey: true } };
    expect(render(needsPasskey)).toMatch(/<form [^>]*data-passkey="confirm"/);
    expect(render(needsPasskey)).toContain('<noscript>');
    const without = render(needsPasskey, { hasPasskey: false });
    expect(without).toContain('href="/account?return_to=');
    expect(without).not.toContain('value="approve"');
    expect(without).toContain('value="deny"');
  });

  test('shows no buttons to who may not decide, and says why', () => {
    const page = render({ viewer: { ...viewer, mayDecide: false, whyNot: 'You own this agent.' } });
    expect(page).not.toContain('<button');
    expect(page).toContain('You own this agent.');
  });

  test.each<[string, Partial<StepUpView>, RegExp]>([
    [
      'denied',
      {
        state: 'denied',
        reason: 'Wrong file',
        decisions: [{ person: 'Ben', decision: 'deny', reason: null, decidedAt: SAMPLE_NOW }],
      },
      /Denied by Ben.*Nothing has run.*Wrong file/,
    ],
    ['expired', { state: 'expired' }, /Expired.*counts as a denial.*Nothing has run/],
    ['withdrawn', { state: 'withdrawn' }, /Withdrawn.*Nothing has run/],
    [
      'approved',
      {
        state: 'approved',
        grant: { expiresAt: new Date(SAMPLE_NOW.getTime() + 1), uses: 0, maxUses: 1, revoked: false },
      },
      /Approved by.*has not run yet/,
    ],
    [
      'unused',
      { state: 'approved', grant: { expiresAt: SAMPLE_NOW, uses: 0, maxUses: 1, revoked: false } },
      /was not used before/,
    ],
    [
      'revoked',
      { state: 'approved', grant: { expiresAt: SAMPLE_NOW, uses: 0, maxUses: 1, revoked: true } },
      /taken back before it was used/,
    ],
    [
      'done',
      { state: 'approved', outcome: { state: 'done', redeemedAt: SAMPLE_NOW } },
      /Approved by.*ran at.*and finished/,
    ],
    ['failed', { state: 'approved', outcome: { state: 'failed', redeemedAt: SAMPLE_NOW } }, /ran at.*and failed/],
    ['unknown', { state: 'approved', outcome: { state: 'unknown', redeemedAt: SAMPLE_NOW } }, /outcome is not known/],
  ])('shows a request that is %s as such, without buttons', (_name, changes, words) => {
    const page = render(changes);
    expect(textOf(page)).toMatch(words);
    expect(page).not.toContain('<button');
  });

  test('tells of the same action before', () => {
    const page = render({ earlier: { startedAt: SAMPLE_NOW, outcome: 'failed' } });
    expect(textOf(page)).toMatch(/The same action started before.*It failed/);
  });

  test('offers the way back to the client only after the decision', () => {
    const back = { returnTo: '/interaction/abc' };
    expect(render({}, back)).not.toContain('href="/interaction/abc"');
    expect(render({ state: 'denied' }, back)).toContain('href="/interaction/abc"');
  });

  test('names moments in UTC, with the zone, for readers without JavaScript', () => {
    expect(render()).toContain('<time datetime="2026-11-23T12:10:00.000Z">2026-11-23 12:10 UTC</time>');
  });

  test('says that arguments are gone after retention', () => {
    expect(textOf(render({ arguments: null, state: 'approved' }))).toContain('destroyed at the end of their retention');
  });

  test('carries no script or style of its own, so that the policy can forbid both', () => {
    const page = render({ viewer: { ...viewer, needsPasskey: true } });
    expect(page).not.toMatch(/<script(?![^>]* src="\/assets\/)/);
    expect(page).not.toMatch(/<style|\sstyle=|\son[a-z]+=|javascript:/);
  });
});

describe('the live state of a request', () => {
  test('changes with every change that the page shows', () => {
    const decision = { person: 'Ben', decision: 'approve', reason: null, decidedAt: SAMPLE_NOW } as const;
    const grant = { expiresAt: new Date(SAMPLE_NOW.getTime() + 1000), uses: 0, maxUses: 1, revoked: false };
    const views = [
      sampleStepUp(),
      sampleStepUp({ decisions: [decision] }),
      sampleStepUp({ state: 'approved', decisions: [decision], grant }),
      sampleStepUp({
        state: 'approved',
        decisions: [decision],
        grant: { ...grant, uses: 1 },
        outcome: { state: 'unknown', redeemedAt: SAMPLE_NOW },
      }),
      sampleStepUp({
        state: 'approved',
        decisions: [decision],
        grant: { ...grant, uses: 1 },
        outcome: { state: 'done', redeemedAt: SAMPLE_NOW },
      }),
      sampleStepUp({ state: 'denied' }),
    ];
    expect(new Set(views.map((view) => liveState(view, SAMPLE_NOW))).size).toBe(views.length);
    expect(views.map((view) => isSettled(view, SAMPLE_NOW))).toEqual([false, false, false, false, true, true]);
  });
});
