import { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result } from '../kernel/result.ts';
import {
  type EvaluateAnswer,
  type EvaluateRequest,
  evaluateAnswerSchema,
  GUARD_API,
  leaseAnswerSchema,
  manifestAnswerSchema,
  type RedeemAnswer,
  type RedeemRequest,
  redeemAnswerSchema,
  type StepUpStatus,
  stepUpStatusSchema,
  visibleToolsSchema,
} from '../wire/guard_api.ts';
import type { Refusal } from '../wire/refusals.ts';
import type { IssuerLink } from './issuer_link.ts';

const anything = z.unknown();

export interface OutcomeReport {
  readonly attempt_id: string;
  readonly guard_instance: string;
  readonly outcome: 'done' | 'failed' | 'unknown';
  readonly result: JsonObject | null;
}

export interface LeaseRequest {
  readonly nonce: string;
  readonly seconds: number;
  /** Of the lease that is held. */
  readonly cursor: { readonly epoch: string; readonly position: number; readonly head: string } | null;
}

/** The server's side of every decision, by name. All throw IssuerOutage when it cannot be asked. */
export interface DecisionPoint {
  evaluate(request: EvaluateRequest, traceparent?: string): Promise<Result<EvaluateAnswer, Refusal>>;
  handInChallenge(stepUpId: string, challenge: string): Promise<Result<null, Refusal>>;
  wait(stepUpId: string, seconds: number, signal: AbortSignal): Promise<Result<StepUpStatus, Refusal>>;
  withdraw(stepUpId: string): Promise<Result<null, Refusal>>;
  redeem(request: RedeemRequest): Promise<Result<RedeemAnswer, Refusal>>;
  reportOutcome(redemptionId: string, report: OutcomeReport): Promise<Result<null, Refusal>>;
  visibleTools(
    caller: EvaluateRequest['caller'],
    tools: readonly { name: string; manifest_digest: string }[],
  ): Promise<Result<z.infer<typeof visibleToolsSchema>, Refusal>>;
  reportManifest(tools: readonly JsonObject[]): Promise<Result<z.infer<typeof manifestAnswerSchema>, Refusal>>;
  /** The next lease, unverified. */
  lease(request: LeaseRequest, signal: AbortSignal): Promise<Result<z.infer<typeof leaseAnswerSchema>, Refusal>>;
}

export function decisionPoint(link: IssuerLink): DecisionPoint {
  const post = async (path: string, body: object): Promise<Result<null, Refusal>> => {
    const answer = await link.call({ method: 'POST', path, body, answer: anything });
    return answer.ok ? accepted(null) : answer;
  };
  return {
    evaluate: (body, traceparent) =>
      link.call({ method: 'POST', path: GUARD_API.evaluate, body, answer: evaluateAnswerSchema, traceparent }),
    handInChallenge: (stepUpId, challenge) => post(GUARD_API.challenges, { step_up_id: stepUpId, challenge }),
    wait: (stepUpId, seconds, signal) =>
      link.call({
        method: 'GET',
        path: `${GUARD_API.wait(stepUpId)}?seconds=${seconds}`,
        answer: stepUpStatusSchema,
        waitMs: seconds * 1000,
        signal,
      }),
    withdraw: (stepUpId) => post(GUARD_API.withdraw(stepUpId), {}),
    redeem: (body) =>
      link.call({ method: 'POST', path: GUARD_API.redeem, body, answer: redeemAnswerSchema, carriesCaller: true }),
    reportOutcome: (redemptionId, report) => post(GUARD_API.outcome(redemptionId), report),
    visibleTools: (caller, tools) =>
      link.call({
        method: 'POST',
        path: GUARD_API.visibleTools,
        body: { caller, tools },
        answer: visibleToolsSchema,
        carriesCaller: true,
      }),
    reportManifest: (tools) =>
      link.call({ method: 'POST', path: GUARD_API.manifest, body: { tools }, answer: manifestAnswerSchema }),
    lease: (request, signal) =>
      link.call({
        method: 'GET',
        path: `${GUARD_API.lease}?${leaseQuery(request)}`,
        answer: leaseAnswerSchema,
        waitMs: request.seconds * 1000,
        signal,
      }),
  };
}

function leaseQuery({ nonce, seconds, cursor }: LeaseRequest): string {
  const held = cursor === null ? {} : { epoch: cursor.epoch, position: String(cursor.position), head: cursor.head };
  return new URLSearchParams({ nonce, seconds: String(seconds), ...held }).toString();
}
