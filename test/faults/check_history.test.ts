import { describe, expect, test } from 'vitest';
import { checkHistory, type Evidence } from './check_history.ts';
import type { Asked, Operation, Outcome } from './history.ts';
import type { EventIds, LoggedEvent } from './logged_events.ts';

// The checker stands between a broken server and a green test, so each of its rules is shown a history that breaks it.

let clock = 0;

function did(asked: Asked, outcome: Outcome = 'acknowledged'): Operation {
  const start = clock + 1;
  clock = start + 1;
  return { ...asked, start, end: clock, outcome };
}

function logOf(...events: readonly (readonly [string, EventIds])[]): LoggedEvent[] {
  return events.map(([kind, ids], position) => ({ position, kind, ids }));
}

/** A task, a token, one approved call that ran and one that was denied; then the task ends. Nothing is wrong. */
const good = (): Operation[] => [
  did({ kind: 'start_task', task: 'T' }),
  did({ kind: 'issue_token', task: 'T', token: 'J' }),
  did({ kind: 'use_token', task: 'T', token: 'J' }),
  did({ kind: 'open_step_up', stepUp: 'S', action: 'A', task: 'T' }),
  did({ kind: 'open_step_up', stepUp: 'D', action: 'B', task: 'T' }),
  did({ kind: 'read_step_up', stepUp: 'S', state: 'open' }),
  did({ kind: 'decide', stepUp: 'S', verdict: 'approve' }),
  did({ kind: 'decide', stepUp: 'S', verdict: 'deny' }, 'refused'),
  did({ kind: 'decide', stepUp: 'D', verdict: 'deny' }),
  did({ kind: 'read_step_up', stepUp: 'S', state: 'approved' }),
  did({ kind: 'read_step_up', stepUp: 'D', state: 'denied' }),
  did({ kind: 'redeem', stepUp: 'S', redemption: 'R', isRepeated: false }),
  did({ kind: 'redeem', stepUp: 'S', redemption: 'R', isRepeated: true }),
  did({ kind: 'record_outcome', redemption: 'R' }),
  did({ kind: 'revoke_token', token: 'J' }),
  did({ kind: 'use_token', task: 'T', token: 'J' }, 'refused'),
  did({ kind: 'end_task', task: 'T' }),
  did({ kind: 'issue_token', task: 'T', token: '?' }, 'refused'),
];
const log = () =>
  logOf(
    ['task.started', { task: 'T' }],
    ['token.issued', { token: 'J', task: 'T' }],
    ['step_up.opened', { step_up: 'S' }],
    ['step_up.opened', { step_up: 'D' }],
    ['decision.made', { decision: '1', step_up: 'S', verdict: 'approve' }],
    ['grant.made', { step_up: 'S', max_uses: 1 }],
    ['decision.made', { decision: '2', step_up: 'D', verdict: 'deny' }],
    ['grant.redeemed', { redemption: 'R', step_up: 'S' }],
    ['outcome.recorded', { redemption: 'R' }],
    ['token.revoked', { token: 'J' }],
    ['task.ended', { task: 'T' }],
  );

function evidence(changes: Partial<Evidence> = {}): Evidence {
  return { history: good(), events: log(), runs: new Map([['A', 1]]), ...changes };
}

/** With one operation or event more. */
const also = (asked: Asked, outcome?: Outcome): Evidence => evidence({ history: [...good(), did(asked, outcome)] });
const alsoLogged = (kind: string, ids: EventIds): Evidence =>
  evidence({ events: [...log(), { position: log().length, kind, ids }] });
const without = (kind: string): LoggedEvent[] => log().filter((event) => event.kind !== kind);

const invariantsOf = (found: Evidence) => [...new Set(checkHistory(found).map(({ invariant }) => invariant))];

test('a history without fault has no violation, and neither has one of which half the outcomes are unknown', () => {
  expect(checkHistory(evidence())).toEqual([]);
  const blurred = good().map((operation, index): Operation => {
    const isChange = operation.kind !== 'read_step_up' && operation.kind !== 'use_token';
    return isChange && index % 2 === 0 && operation.outcome === 'acknowledged'
      ? { ...operation, outcome: 'unknown' }
      : operation;
  });
  expect(checkHistory(evidence({ history: blurred }))).toEqual([]);
});

describe('approved: no unapproved token or run', () => {
  test('a redemption that nobody had asked to approve', () => {
    const history = good().filter(({ kind }) => kind !== 'decide');
    expect(invariantsOf(evidence({ history }))).toContain('approved');
  });

  test('a redemption that came before the approval', () => {
    const events = log();
    const [decided, redeemed] = [4, 7].map((index) => events[index]!);
    events[4] = { ...redeemed!, position: 4 };
    events[7] = { ...decided!, position: 7 };
    expect(invariantsOf(evidence({ events }))).toEqual(['approved']);
  });

  test('a token for a task that nobody started', () => {
    const found = also({ kind: 'issue_token', task: 'X', token: 'K' });
    const event = { position: 99, kind: 'token.issued', ids: { token: 'K', task: 'X' } };
    expect(invariantsOf({ ...found, events: [...log(), event] })).toEqual(['approved']);
  });
});

describe('once: one redemption per use, one run per redemption', () => {
  test('two attempts are told to run', () => {
    const history = good().map((one): Operation => (one.kind === 'redeem' ? { ...one, isRepeated: false } : one));
    expect(invariantsOf(evidence({ history }))).toEqual(['once']);
  });

  test('the log has two redemptions of one use', () => {
    expect(invariantsOf(alsoLogged('grant.redeemed', { redemption: 'R2', step_up: 'S' }))).toEqual(['once']);
  });

  test('the tool ran twice, or without any redemption', () => {
    expect(invariantsOf(evidence({ runs: new Map([['A', 2]]) }))).toEqual(['once']);
    expect(invariantsOf(evidence({ runs: new Map([['B', 1]]) }))).toEqual(['once']);
    expect(invariantsOf(evidence({ runs: new Map([['a call nobody made', 1]]) }))).toEqual(['once']);
  });
});

describe('kept: no acknowledged decision, denial or revocation is lost or undone', () => {
  test('an acknowledged decision is not in the log', () => {
    const events = log().filter(({ ids }) => ids.decision !== '2');
    expect(invariantsOf(evidence({ events }))).toEqual(['kept', 'logged']);
  });

  test('a decided step-up is read as open again, whether or not the decision was acknowledged', () => {
    expect(invariantsOf(also({ kind: 'read_step_up', stepUp: 'S', state: 'open' }))).toEqual(['kept']);
    const history = [
      ...good().map((one): Operation => (one.kind === 'decide' ? { ...one, outcome: 'unknown' } : one)),
      did({ kind: 'read_step_up', stepUp: 'D', state: 'registered' }),
    ];
    expect(invariantsOf(evidence({ history }))).toEqual(['kept']);
  });

  test('a verdict turns around', () => {
    expect(invariantsOf(also({ kind: 'read_step_up', stepUp: 'D', state: 'approved' }))).toEqual(['kept']);
    expect(invariantsOf(also({ kind: 'read_step_up', stepUp: 'S', state: 'denied' }))).toEqual(['kept']);
  });

  test('a denied call is redeemed', () => {
    const events = [...log(), ...logOf(['grant.redeemed', { redemption: 'R2', step_up: 'D' }])];
    expect(invariantsOf(evidence({ events }))).toContain('kept');
  });

  test('a revoked token works again', () => {
    const found = also({ kind: 'use_token', task: 'T2', token: 'J' });
    expect(invariantsOf(found)).toEqual(['kept']);
  });

  test('a token that was called dead works again, although the reply to its revocation was lost', () => {
    const history = [
      ...good().map((one): Operation => (one.kind === 'revoke_token' ? { ...one, outcome: 'unknown' } : one)),
      did({ kind: 'use_token', task: 'T2', token: 'J' }),
    ];
    expect(invariantsOf(evidence({ history }))).toEqual(['kept']);
  });

  test('an ended task gets a token, or uses one, or redeems', () => {
    const issued = alsoLogged('token.issued', { token: 'K', task: 'T' });
    const history = [...good(), did({ kind: 'issue_token', task: 'T', token: 'K' })];
    expect(invariantsOf({ ...issued, history })).toEqual(['kept']);
    expect(invariantsOf(also({ kind: 'use_token', task: 'T', token: 'K' }))).toEqual(['kept']);
    const late = good().filter(({ kind }) => kind !== 'redeem');
    const redeemed = [...late, did({ kind: 'redeem', stepUp: 'S', redemption: 'R', isRepeated: false })];
    expect(invariantsOf(evidence({ history: redeemed }))).toEqual(['kept']);
  });
});

describe('logged: every acknowledged change once, and none that nobody asked for', () => {
  test.each(['task.started', 'token.issued', 'step_up.opened', 'outcome.recorded', 'token.revoked', 'task.ended'])(
    '%s is missing',
    (kind) => {
      expect(invariantsOf(evidence({ events: without(kind) }))).toEqual(['logged']);
    },
  );

  test('grant.redeemed is missing', () => {
    expect(invariantsOf(evidence({ events: without('grant.redeemed') }))).toEqual(['once', 'logged']);
  });

  test.each(['task.started', 'decision.made', 'outcome.recorded', 'grant.made', 'task.ended'])('%s twice', (kind) => {
    const ids = log().find((event) => event.kind === kind)!.ids;
    expect(invariantsOf(alsoLogged(kind, ids))).toEqual(['logged']);
  });

  test('a decision, an end and a revocation that nobody asked for', () => {
    const refused = alsoLogged('decision.made', { decision: '3', step_up: 'S', verdict: 'deny' });
    expect(invariantsOf(refused)).toEqual(['logged']);
    expect(invariantsOf(alsoLogged('task.ended', { task: 'X' }))).toEqual(['logged']);
    expect(invariantsOf(alsoLogged('token.revoked', { token: 'X' }))).toEqual(['logged']);
  });
});
