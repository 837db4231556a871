import { AgentError } from './agent_error.ts';
import { type GuardVerdict, readStepUp } from './read_step_up.ts';

/** What became of a call or a message. Each is a value that a program, or a model, can act on. */
export type Outcome<Result> =
  /** It ran and answered; `result` may still be an error of the tool's own. */
  | {
      readonly kind: 'done';
      readonly result: Result;
      /** It ran before, then: this is what it answered, and nothing ran now. */
      readonly replayedFrom: Date | undefined;
    }
  /** Nothing ran yet, and the time that was given is up. The same again goes on from there. */
  | {
      readonly kind: 'waiting';
      readonly stepUpId: string;
      /** Where a person decides. */
      readonly approvalUrl: string;
      readonly expiresAt: Date;
    }
  /** A person refused: change the plan. */
  | {
      readonly kind: 'denied';
      /** In the person's own words, if any were given. */
      readonly reason: string | undefined;
      readonly message: string;
      readonly next: string;
      readonly stepUpId: string | undefined;
    }
  /** Nobody decided in time, or the request was withdrawn. Nothing ran. */
  | { readonly kind: 'expired'; readonly message: string; readonly next: string; readonly stepUpId: string | undefined }
  /** No approval can lift it as it stands: policy, the task, a delegation or a budget. `code` is of the server's list. */
  | {
      readonly kind: 'refused';
      readonly code: string;
      readonly message: string;
      readonly next: string | undefined;
      readonly detail: Readonly<Record<string, unknown>>;
    }
  /** It was started and what became of it is not known: look before trying again. */
  | { readonly kind: 'unknown'; readonly message: string; readonly next: string | undefined }
  /** Try again later: an outage or a limit, which passes by itself. Nothing ran. */
  | {
      readonly kind: 'unavailable';
      readonly code: string;
      readonly message: string;
      readonly next: string | undefined;
    };

const DENIED: readonly string[] = ['step_up_denied', 'denied_recently'];
const EXPIRED: readonly string[] = ['step_up_expired', 'step_up_withdrawn'];
const PASSING: readonly string[] = [
  'unavailable',
  'policy_unavailable',
  'clock_differs',
  'rate_limited',
  'too_many_step_ups',
];

/** What a result says: the guard's verdict if there is one, else that it is done. */
export function outcomeOf<Result>(result: Result, verdict: GuardVerdict | null = readStepUp(result)): Outcome<Result> {
  switch (verdict?.kind) {
    case undefined:
      return { kind: 'done', result, replayedFrom: undefined };
    case 'waiting': {
      const { stepUpId, approvalUrl, expiresAt } = verdict;
      return { kind: 'waiting', stepUpId, approvalUrl, expiresAt };
    }
    case 'replayed':
      if (verdict.outcome !== 'unknown') return { kind: 'done', result, replayedFrom: verdict.redeemedAt };
      return {
        kind: 'unknown',
        message: `It was started at ${verdict.redeemedAt.toISOString()}. Nothing was run now.`,
        next: 'Check before you try again.',
      };
    case 'refused':
      return refusedOutcome(verdict);
  }
}

/**
 * What a thrown error says. An error of the program's own, or of a server that is no part of this, is thrown on.
 */
export function outcomeOfError(error: unknown): Outcome<never> {
  if (error instanceof AgentError) {
    const { code, message, next } = error;
    if (code === 'unavailable') return { kind: 'unavailable', code, message, next };
    return { kind: 'refused', code, message, next, detail: {} };
  }
  // What a provider of tokens throws reaches us as the cause of what a transport throws.
  if (error instanceof Error && error.cause instanceof AgentError) return outcomeOfError(error.cause);
  const verdict = readStepUp(error);
  if (verdict === null) throw error;
  const outcome = outcomeOf(undefined, verdict);
  if (outcome.kind === 'done') throw error;
  return outcome;
}

function refusedOutcome(verdict: Extract<GuardVerdict, { kind: 'refused' }>): Outcome<never> {
  const { code, message, next, detail } = verdict;
  const stepUpId = typeof detail.step_up_id === 'string' ? detail.step_up_id : undefined;
  if (DENIED.includes(code)) {
    const reason = typeof detail.reason === 'string' ? detail.reason : undefined;
    return { kind: 'denied', reason, message, next, stepUpId };
  }
  if (EXPIRED.includes(code)) return { kind: 'expired', message, next, stepUpId };
  if (code === 'outcome_unknown') return { kind: 'unknown', message, next };
  if (PASSING.includes(code)) return { kind: 'unavailable', code, message, next };
  return { kind: 'refused', code, message, next, detail };
}
