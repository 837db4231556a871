import type { RequestContext } from '@a2a-js/sdk/server';
import type { ToolConstraint } from '../../wire/constraints.ts';

/** What an exchanged token is asked to be good for: at most what the caller's task may do there. */
export interface ExchangeRequest {
  /** Names of tools at the resource. Default: all that the caller has there. */
  readonly tools?: readonly string[];
  /** What arguments must be like, beside what is demanded already. */
  readonly constraints?: readonly ToolConstraint[];
  /** Where else whoever takes the work may go on; no other resource is handed on. */
  readonly onward?: readonly {
    readonly resource: string;
    readonly tools?: readonly string[];
    readonly constraints?: readonly ToolConstraint[];
  }[];
  /** How long the delegation lasts at most. */
  readonly seconds?: number;
}

/** A step-up that a call of this agent's own waits for, as `readStepUp` of `countersign/agent` gives it. */
export interface WaitingCall {
  readonly stepUpId: string;
  readonly approvalUrl: string;
  readonly expiresAt: Date;
}

/** Who sent the message that an executor works on, and what it may do for them. */
export interface A2ACaller<Exchanged = unknown> {
  /** The person at the root of the chain. */
  readonly requester: string;
  /** The agent that sent the message. */
  readonly agent: string;
  readonly clientId: string;
  /** The Countersign task that this work belongs to, and the one at its root. */
  readonly task: string;
  readonly rootTask: string;
  readonly delegation: string | null;
  /** The agents of the chain, the sender first. */
  readonly actors: readonly string[];
  /** What was decided: the id of a skill, or `message`. An executor that was promised a skill serves this one only. */
  readonly skill: string;
  /** The one use of an approval that this run is: an idempotency key. Undefined where none was needed. */
  readonly redemptionId: string | undefined;
  /** The trace that the message came with (W3C), to go on with. */
  readonly traceparent: string | undefined;
  /** Aborted when the task is cancelled, or the guard closes. */
  readonly signal: AbortSignal;
  /**
   * Gets a token to go on with at `resource`, as a delegation below the caller's (RFC 8693). The caller's own token stays
   * in the guard. Needs the `agent` option.
   */
  exchangeFor(resource: string, request?: ExchangeRequest): Promise<Exchanged>;
  /** Tells the sender that this task waits for somebody's approval further down; publish a status to go on. */
  tellWaiting(waiting: WaitingCall): void;
}

const callers = new WeakMap<object, A2ACaller>();

export function rememberCaller(requestContext: RequestContext, caller: A2ACaller): void {
  callers.set(requestContext.context, caller);
}

/**
 * Who sent the message that this executor was given, established from the token and the server's records.
 *
 * @throws TypeError for a request that no guard let through
 *
 * @example
 * ```ts
 * import type { AgentExecutor } from '@a2a-js/sdk/server';
 * import { countersignOf } from 'countersign/a2a';
 *
 * const executor: AgentExecutor = {
 *   async execute(requestContext, bus) {
 *     const { agent, task, exchangeFor } = countersignOf(requestContext);
 *     const crm = await exchangeFor('https://crm.example/mcp', { tools: ['read_customer'] });
 *     // … use `crm` as the authProvider of an MCP client, and publish what came of it
 *   },
 *   async cancelTask() {},
 * };
 * ```
 */
export function countersignOf<Exchanged = unknown>(requestContext: RequestContext): A2ACaller<Exchanged> {
  const caller = callers.get(requestContext.context);
  if (caller === undefined) throw new TypeError('No guard let this request through: mount protectA2A before it.');
  return caller as A2ACaller<Exchanged>;
}
