/** What came of an operation: the server said that it did it, that it did not, or nobody knows. */
export type Outcome = 'acknowledged' | 'refused' | 'unknown';

/** What clients asked for. Ids are those of the server; where a reply was lost, none is known and nothing is recorded. */
export type Asked =
  | { readonly kind: 'start_task'; readonly task: string }
  | { readonly kind: 'end_task'; readonly task: string }
  | { readonly kind: 'issue_token'; readonly task: string; readonly token: string }
  | { readonly kind: 'revoke_token'; readonly token: string }
  /** Acknowledged: the token works. Refused: the server says that it does not, or not any more. */
  | { readonly kind: 'use_token'; readonly task: string; readonly token: string }
  | { readonly kind: 'open_step_up'; readonly stepUp: string; readonly action: string; readonly task: string }
  | { readonly kind: 'decide'; readonly stepUp: string; readonly verdict: Verdict }
  | { readonly kind: 'read_step_up'; readonly stepUp: string; readonly state: string }
  | { readonly kind: 'redeem'; readonly stepUp: string; readonly redemption: string; readonly isRepeated: boolean }
  | { readonly kind: 'record_outcome'; readonly redemption: string }
  /** Anything else that was asked while faults went on; counted, and bound by no rule. */
  | { readonly kind: 'other'; readonly what: string };

export type Verdict = 'approve' | 'deny';

/** An operation as its client saw it; `start` and `end` are of one clock. */
export type Operation = Asked & { readonly start: number; readonly end: number; readonly outcome: Outcome };
export type OperationOf<Kind extends Asked['kind']> = Extract<Operation, { readonly kind: Kind }>;

/** What a client knows after the answer: the operation with the ids that the server gave, and its outcome. */
export interface Answered<Value> {
  readonly asked: Asked;
  readonly outcome: Outcome;
  readonly value: Value;
}

/** The operations of all clients, in the order in which they ended. */
export class History {
  readonly operations: Operation[] = [];
  /** How often each HTTP status was answered. */
  readonly statuses = new Map<number, number>();

  /** Counts the status of an answer on its way to whoever reads it. */
  seen<Answer extends { readonly status: number }>(answer: Answer): Answer {
    this.statuses.set(answer.status, (this.statuses.get(answer.status) ?? 0) + 1);
    return answer;
  }

  /** Does `work` and records it. An error, a connection that was cut for one, leaves the outcome of `asked` unknown. */
  async record<Value>(asked: Asked, work: () => Promise<Answered<Value>>): Promise<Answered<Value | undefined>> {
    const start = performance.now();
    const answered = await work().catch((): Answered<undefined> => ({ asked, outcome: 'unknown', value: undefined }));
    this.operations.push({ ...answered.asked, start, end: performance.now(), outcome: answered.outcome });
    return answered;
  }

  /** Operations that were answered, yes or no. */
  get answered(): number {
    return this.operations.filter((operation) => operation.outcome !== 'unknown').length;
  }
}

export function operationsOf<Kind extends Asked['kind']>(
  history: readonly Operation[],
  ...kinds: readonly Kind[]
): OperationOf<Kind>[] {
  const wanted: ReadonlySet<string> = new Set(kinds);
  return history.filter((operation): operation is OperationOf<Kind> => wanted.has(operation.kind));
}
