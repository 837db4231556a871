import { REFUSALS } from '../wire/refusals.ts';
import { jsonAnswer, unauthorizedAnswer } from './answers.ts';
import { type GuardContext, type GuardedCall, isCallerGone } from './context.ts';
import { type Decided, decide } from './decide.ts';
import { holdAnswer, progressToken } from './lanes/hold.ts';
import { pickLane } from './lanes/pick_lane.ts';
import { retryMessage } from './lanes/retry.ts';
import { challengeKey, scopeChallengeAnswer } from './lanes/scope_challenge.ts';
import { HOLDS_MAX } from './limits.ts';
import { refusalMessageOf } from './refusal_message.ts';
import { replayMessage } from './replay.ts';
import { runPlain, runRedeemed } from './run.ts';
import { STOPPING } from './stopping.ts';

/** A client that went away; nobody reads this. */
const GONE_STATUS = 499;

/** Decides one call and answers it. */
export async function answerCall(context: GuardContext, call: GuardedCall): Promise<Response> {
  return respond(context, call, await decide(context, call));
}

async function respond(context: GuardContext, call: GuardedCall, decided: Decided): Promise<Response> {
  switch (decided.kind) {
    case 'permit':
      if (context.closing.aborted) return jsonAnswer(refusalMessageOf(call.inbound, STOPPING));
      return isCallerGone(call) ? new Response(null, { status: GONE_STATUS }) : runPlain(context, call);
    case 'redeemed':
      return runRedeemed(context, call, decided.asked, decided.redemption);
    case 'replay':
      return jsonAnswer(replayMessage(call.inbound, decided.answer));
    case 'refuse':
      if (REFUSALS[decided.refusal.code].status === 401) {
        return unauthorizedAnswer(decided.refusal, context.metadataUrl, call.inbound.id);
      }
      return jsonAnswer(refusalMessageOf(call.inbound, decided.refusal));
    case 'gone':
      return new Response(null, { status: GONE_STATUS });
    case 'wait':
      return deliver(context, call, decided);
  }
}

function deliver(context: GuardContext, call: GuardedCall, waiting: Extract<Decided, { kind: 'wait' }>): Response {
  const { asked, pending } = waiting;
  const lane = pickLane({
    isScopeChallengeAllowed: pending.scopeChallenge.allowed,
    wasChallenged: context.challenged.get(challengeKey(call, pending.stepUp.step_up_id), Date.now()) !== undefined,
    isStreaming: false,
    hasProgressToken: progressToken(call) !== undefined,
    acceptsEventStream: call.request.headers.get('accept')?.includes('text/event-stream') ?? false,
    isHoldingTooMany: context.holds.count >= HOLDS_MAX,
  });
  switch (lane) {
    case 'scope_challenge':
      return scopeChallengeAnswer(context, call, pending);
    case 'hold':
      return holdAnswer(context, call, asked.name, pending);
    case 'retry':
      return jsonAnswer(retryMessage(call.inbound, asked.name, pending));
  }
}
