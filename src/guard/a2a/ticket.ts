import type { RequestContext } from '@a2a-js/sdk/server';
import type { GuardedCall } from '../context.ts';
import type { Decided } from '../decide.ts';
import type { Standing } from './standing.ts';

/** A message that was decided, on its way through the SDK to the executor. */
export interface Ticket {
  readonly tool: string;
  readonly call: GuardedCall;
  readonly decided: Extract<Decided, { kind: 'permit' | 'redeemed' | 'wait' }>;
  isTaken: boolean;
}

/** A task that waits or runs in this process. */
export interface LiveTask {
  readonly request: RequestContext;
  readonly standing: Standing;
  /** Of the principal that it is of. */
  readonly principal: string;
  /** The request for approval that it waits for now; null while it runs. */
  stepUpId: string | null;
  readonly cancelled: AbortController;
}
