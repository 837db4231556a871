import type { JsonObject } from '../kernel/json.ts';
import type { Logger } from '../kernel/logger.ts';
import type { SigningKey } from '../wire/signing_key.ts';
import type { ActionContext } from './action.ts';
import type { BoundedMap } from './bounded_map.ts';
import type { Caller } from './caller.ts';
import type { DecisionPoint } from './decision_point.ts';
import type { InboundMessage } from './edge.ts';
import type { HeldLease } from './held_lease.ts';
import type { InFlightCalls } from './in_flight.ts';
import type { Manifest } from './manifest.ts';
import type { FactsCall, McpFetch } from './options.ts';

/** What one guard holds for all its calls. */
export interface GuardContext {
  readonly action: ActionContext;
  readonly point: DecisionPoint;
  /** What this guard may rely on now. */
  readonly lease: Pick<HeldLease, 'problem'>;
  /** Asks the server for a lease now, at most once a second; resolves when it was tried. */
  readonly renewLease: () => Promise<void>;
  readonly manifest: Manifest;
  /** The protected handler. */
  readonly inner: McpFetch;
  readonly key: SigningKey;
  readonly metadataUrl: string;
  /** This process: only it may ask again for the answer of one of its attempts. */
  readonly instance: string;
  readonly facts: ((call: FactsCall) => Promise<JsonObject>) | undefined;
  readonly inFlight: InFlightCalls;
  /** Step-ups, by principal, that a scope challenge was already sent for. */
  readonly challenged: BoundedMap<true>;
  readonly holds: { count: number };
  /** Messages that are being received. */
  readonly reading: { count: number };
  /** Calls that are decided or run, and outcomes that are being reported: closing waits for them. */
  readonly running: Set<Promise<unknown>>;
  readonly closing: AbortSignal;
  readonly log: Logger;
}

/** One request that the server decides. */
export interface GuardedCall {
  readonly inbound: InboundMessage;
  readonly caller: Caller;
  readonly request: Request;
  /** The caller cancelled it by its JSON-RPC id. */
  readonly cancelled: AbortSignal;
}

/** Running a call for a caller who left would surprise everyone (design-review 20). */
export function isCallerGone(call: GuardedCall): boolean {
  return call.request.signal.aborted || call.cancelled.aborted;
}

/** Closing the guard waits for it. */
export function tracked<Value>(context: Pick<GuardContext, 'running'>, work: Promise<Value>): Promise<Value> {
  const watched: Promise<Value> = work.finally(() => context.running.delete(watched));
  context.running.add(watched);
  return watched;
}
