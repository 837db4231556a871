import { type Operation, type OperationOf, operationsOf } from './history.ts';
import { type LoggedEvent, LogIndex } from './logged_events.ts';

/** Everything that is known after a run. */
export interface Evidence {
  readonly history: readonly Operation[];
  /** The exported log, in its order. */
  readonly events: readonly LoggedEvent[];
  /** The marks that tools left: how often each action ran. */
  readonly runs: ReadonlyMap<string, number>;
}

export interface Violation {
  readonly invariant: 'approved' | 'once' | 'kept' | 'logged';
  readonly what: string;
}

/**
 * Checks what happened against the four invariants: nothing ran and no token was given without approval (`approved`), one
 * redemption per use and one run per redemption (`once`), no acknowledged decision, denial or revocation was lost or undone
 * (`kept`), the log has every acknowledged change, once, and none that nobody asked for (`logged`). An operation of
 * unknown outcome may have happened or not.
 */
export function checkHistory(evidence: Evidence): Violation[] {
  const log = new LogIndex(evidence.events);
  return [
    ...say('approved', unapproved(evidence, log)),
    ...say('once', repeated(evidence, log)),
    ...say('kept', [...decisionsLost(evidence, log), ...deadTokensUsed(evidence), ...endedTasksUsed(evidence)]),
    ...say('logged', [...missingEvents(evidence, log), ...doubleEvents(log), ...unaskedEvents(evidence, log)]),
  ];
}

function say(invariant: Violation['invariant'], problems: readonly string[]): Violation[] {
  return problems.map((what) => ({ invariant, what }));
}

function unapproved({ history }: Evidence, log: LogIndex): string[] {
  const approvals = new Map<string, number>();
  for (const { stepUp, verdict, outcome, start } of operationsOf(history, 'decide')) {
    if (verdict === 'approve' && outcome !== 'refused')
      approvals.set(stepUp, Math.min(start, approvals.get(stepUp) ?? start));
  }
  const redeemed = operationsOf(history, 'redeem').filter((redeem) => redeem.outcome === 'acknowledged');
  const started = new Set(
    operationsOf(history, 'start_task')
      .filter((start) => start.outcome !== 'refused')
      .map((start) => start.task),
  );
  return [
    ...redeemed
      .filter(({ stepUp, end }) => (approvals.get(stepUp) ?? Number.POSITIVE_INFINITY) > end)
      .map(({ stepUp, redemption }) => `${redemption} was redeemed, and nobody had asked to approve ${stepUp}`),
    ...log
      .all('grant.redeemed')
      .filter((event) => !log.has('decision.made', { step_up: event.ids.step_up, verdict: 'approve' }, event.position))
      .map((event) => `the log has the redemption ${event.ids.redemption} before any approval of ${event.ids.step_up}`),
    ...operationsOf(history, 'issue_token')
      .filter(({ outcome, task }) => outcome === 'acknowledged' && !started.has(task))
      .map(({ token, task }) => `${token} was issued for ${task}, which nobody started`),
  ];
}

function repeated({ history, runs }: Evidence, log: LogIndex): string[] {
  const problems: string[] = [];
  const mayRun = new Map<string, number>();
  for (const redeem of operationsOf(history, 'redeem')) {
    if (redeem.outcome !== 'acknowledged' || redeem.isRepeated) continue;
    mayRun.set(redeem.stepUp, (mayRun.get(redeem.stepUp) ?? 0) + 1);
  }
  const redeemed = log.count('grant.redeemed', 'step_up');
  const uses = new Map(log.all('grant.made').map(({ ids }) => [String(ids.step_up), Number(ids.max_uses)]));
  for (const [stepUp, count] of mayRun) {
    if (count > (uses.get(stepUp) ?? 1)) problems.push(`${count} attempts were told to run ${stepUp}`);
  }
  for (const [stepUp, count] of redeemed) {
    if (count > (uses.get(stepUp) ?? 0)) problems.push(`${stepUp} was redeemed ${count} times`);
  }
  const stepUpsOf = Map.groupBy(operationsOf(history, 'open_step_up'), (open) => open.action);
  for (const [action, count] of runs) {
    const stepUps = new Set(stepUpsOf.get(action)?.map((open) => open.stepUp));
    const allowed = [...stepUps].reduce((sum, stepUp) => sum + (redeemed.get(stepUp) ?? 0), 0);
    if (count > allowed) problems.push(`${action} ran ${count} times and was redeemed ${allowed} times`);
  }
  return problems;
}

const UNDECIDED = ['registered', 'open'];

function decisionsLost({ history }: Evidence, log: LogIndex): string[] {
  const problems: string[] = [];
  const readings = Map.groupBy(operationsOf(history, 'read_step_up'), (read) => read.stepUp);
  const redeemed = new Set(log.all('grant.redeemed').map(({ ids }) => ids.step_up));
  for (const { stepUp, verdict, outcome, end } of operationsOf(history, 'decide')) {
    if (outcome !== 'acknowledged') continue;
    if (!log.has('decision.made', { step_up: stepUp, verdict }))
      problems.push(`"${verdict}" of ${stepUp} was acknowledged and is lost`);
    if (verdict === 'deny' && redeemed.has(stepUp)) problems.push(`${stepUp} was denied and redeemed all the same`);
    const wrong = verdict === 'approve' ? [...UNDECIDED, 'denied', 'expired'] : [...UNDECIDED, 'approved', 'expired'];
    for (const read of readings.get(stepUp) ?? []) {
      if (read.outcome === 'acknowledged' && read.start > end && wrong.includes(read.state))
        problems.push(`"${verdict}" of ${stepUp} was acknowledged; later it was read as ${read.state}`);
    }
  }
  for (const [stepUp, all] of readings) {
    const decided = all.filter((read) => read.outcome === 'acknowledged' && !UNDECIDED.includes(read.state));
    const first = decided.reduce((least, read) => Math.min(least, read.end), Number.POSITIVE_INFINITY);
    const back = all.find((read) => UNDECIDED.includes(read.state) && read.start > first);
    if (back !== undefined) problems.push(`${stepUp} was read as decided, and later as ${back.state}`);
  }
  return problems;
}

/** From an acknowledged revocation on, or from the first time the server called it dead, a token works nowhere. */
function deadTokensUsed({ history }: Evidence): string[] {
  const deadSince = new Map<string, number>();
  const note = (token: string, end: number) =>
    deadSince.set(token, Math.min(end, deadSince.get(token) ?? Number.POSITIVE_INFINITY));
  for (const revoke of operationsOf(history, 'revoke_token')) {
    if (revoke.outcome === 'acknowledged') note(revoke.token, revoke.end);
  }
  for (const use of operationsOf(history, 'use_token')) if (use.outcome === 'refused') note(use.token, use.end);
  return operationsOf(history, 'use_token')
    .filter(({ outcome, token, start }) => outcome === 'acknowledged' && start > (deadSince.get(token) ?? start))
    .map(({ token }) => `${token} was revoked or dead, and worked later`);
}

function endedTasksUsed({ history }: Evidence): string[] {
  const endedAt = new Map<string, number>();
  for (const { task, outcome, end } of operationsOf(history, 'end_task')) {
    if (outcome === 'acknowledged') endedAt.set(task, Math.min(end, endedAt.get(task) ?? end));
  }
  const taskOf = new Map(operationsOf(history, 'open_step_up').map((open) => [open.stepUp, open.task]));
  const isAfterEnd = (task: string | undefined, { outcome, start }: Operation) =>
    task !== undefined && outcome === 'acknowledged' && start > (endedAt.get(task) ?? start);
  return [
    ...operationsOf(history, 'issue_token', 'use_token')
      .filter((operation) => isAfterEnd(operation.task, operation))
      .map(
        ({ kind, task, token }) => `${task} had ended, and ${token} was ${kind === 'use_token' ? 'used' : 'issued'}`,
      ),
    ...operationsOf(history, 'redeem')
      .filter((redeem) => !redeem.isRepeated && isAfterEnd(taskOf.get(redeem.stepUp), redeem))
      .map(({ redemption, stepUp }) => `the task of ${stepUp} had ended, and ${redemption} was redeemed`),
  ];
}

/** What an acknowledged operation must have left in the log. */
function expectedEvent(operation: Operation): readonly [string, Readonly<Record<string, string>>] | undefined {
  switch (operation.kind) {
    case 'start_task':
      return ['task.started', { task: operation.task }];
    case 'end_task':
      return ['task.ended', { task: operation.task }];
    case 'issue_token':
      return ['token.issued', { token: operation.token, task: operation.task }];
    case 'revoke_token':
      return ['token.revoked', { token: operation.token }];
    case 'open_step_up':
      return ['step_up.opened', { step_up: operation.stepUp }];
    case 'decide':
      return ['decision.made', { step_up: operation.stepUp, verdict: operation.verdict }];
    case 'redeem':
      return ['grant.redeemed', { redemption: operation.redemption, step_up: operation.stepUp }];
    case 'record_outcome':
      return ['outcome.recorded', { redemption: operation.redemption }];
    case 'use_token':
    case 'read_step_up':
    case 'other':
      return undefined;
  }
}

function missingEvents({ history }: Evidence, log: LogIndex): string[] {
  return history.flatMap((operation) => {
    const expected = operation.outcome === 'acknowledged' ? expectedEvent(operation) : undefined;
    if (expected === undefined || log.has(...expected)) return [];
    return [`an acknowledged ${operation.kind} has no ${expected[0]} ${JSON.stringify(expected[1])}`];
  });
}

/** What can happen once, by the id it can happen once to. */
const AT_MOST_ONCE = [
  ['task.started', 'task'],
  ['task.ended', 'task'],
  ['token.issued', 'token'],
  ['token.revoked', 'token'],
  ['step_up.opened', 'step_up'],
  ['decision.made', 'decision'],
  ['grant.made', 'step_up'],
  ['grant.redeemed', 'redemption'],
  ['outcome.recorded', 'redemption'],
] as const;

function doubleEvents(log: LogIndex): string[] {
  return AT_MOST_ONCE.flatMap(([kind, id]) =>
    [...log.count(kind, id)]
      .filter(([, count]) => count > 1)
      .map(([subject, count]) => `${kind} of ${subject} is in the log ${count} times`),
  );
}

/** People and agents of the run are ours, so the log has nothing of theirs that we did not ask for. */
function unaskedEvents({ history }: Evidence, log: LogIndex): string[] {
  const asked = <Kind extends 'decide' | 'end_task' | 'revoke_token'>(
    kind: Kind,
    name: (operation: OperationOf<Kind>) => string,
  ) =>
    new Set(
      operationsOf(
        history.filter((operation) => operation.outcome !== 'refused'),
        kind,
      ).map(name),
    );
  const decided = asked('decide', ({ stepUp, verdict }) => `${stepUp} ${verdict}`);
  const ended = asked('end_task', ({ task }) => task);
  const revoked = asked('revoke_token', ({ token }) => token);
  return [
    ...log
      .all('decision.made')
      .filter(({ ids }) => !decided.has(`${ids.step_up} ${ids.verdict}`))
      .map(({ ids }) => `nobody asked for the decision "${ids.verdict}" of ${ids.step_up}`),
    ...log
      .all('task.ended')
      .filter(({ ids }) => !ended.has(String(ids.task)))
      .map(({ ids }) => `nobody asked to end ${ids.task}`),
    ...log
      .all('token.revoked')
      .filter(({ ids }) => !revoked.has(String(ids.token)))
      .map(({ ids }) => `nobody asked to revoke ${ids.token}`),
  ];
}
