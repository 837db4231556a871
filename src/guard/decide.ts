import { setTimeout as sleep } from 'node:timers/promises';
import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { EvaluateAnswer, StepUpStatus } from '../wire/guard_api.ts';
import { type Refusal, type RefusalCode, refusal } from '../wire/refusals.ts';
import { readTraceparent } from '../wire/trace_context.ts';
import { type Asked, checkGated, readAsked, type WireAction, wireAction } from './action.ts';
import { wireCaller } from './caller.ts';
import { handInChallenge } from './challenge.ts';
import { type GuardContext, type GuardedCall, isCallerGone } from './context.ts';
import { instant } from './held_lease.ts';
import { refusalOf } from './issuer_link.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { LEASE_HEAR_MS, ROUNDS_MAX } from './limits.ts';
import { reportOutcome } from './outcome.ts';
import { type Redemption, redeem } from './redeem.ts';
import { STOPPING } from './stopping.ts';

export type ReplayAnswer = Extract<EvaluateAnswer, { decision: 'replay' }>;
type StepUpAnswer = Extract<EvaluateAnswer, { decision: 'step_up' }>;

export interface Pending {
  readonly stepUp: StepUpStatus;
  readonly why: readonly string[];
  readonly scopeChallenge: StepUpAnswer['scope_challenge'];
}

/** What is to happen with a call. Only `permit` and `redeemed` let anything run. */
export type Decided =
  | { readonly kind: 'permit'; readonly asked: Asked }
  | { readonly kind: 'redeemed'; readonly asked: Asked; readonly redemption: Redemption }
  | { readonly kind: 'replay'; readonly answer: ReplayAnswer }
  | { readonly kind: 'refuse'; readonly refusal: Refusal }
  | { readonly kind: 'wait'; readonly asked: Asked; readonly pending: Pending }
  | { readonly kind: 'gone' };

/** Redeeming these ways means that the grant changed hands meanwhile: evaluating again says what holds now. */
const EVALUATE_AGAIN: ReadonlySet<RefusalCode> = new Set(['grant_missing', 'grant_used', 'grant_expired']);

/**
 * The guard order of design §3: denied, executed, approved, open. Anything that cannot be decided is refused; nothing runs
 * here. Without a fresh lease nothing is opened or redeemed (design §4).
 */
export async function decide(context: GuardContext, call: GuardedCall): Promise<Decided> {
  const asked = readAsked(call.inbound);
  if (!asked.ok) return { kind: 'refuse', refusal: asked.refusal };
  try {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const decided = await decideOnce(context, call, asked.value);
      if (decided !== 'again') return decided;
    }
    return unavailable('The state of this call kept changing while it was decided.');
  } catch (error) {
    if (!(error instanceof IssuerOutage)) throw error;
    context.log.error({ error }, 'the call is refused: the server cannot be asked');
    return unavailable('The server that decides calls cannot be reached; no call is allowed without it.');
  }
}

async function decideOnce(context: GuardContext, call: GuardedCall, asked: Asked): Promise<Decided | 'again'> {
  const action = await describe(context, asked);
  if (!action.ok) return { kind: 'refuse', refusal: action.refusal };
  const request = { caller: wireCaller(call.caller), action: action.value, guard_instance: context.instance };
  const answer = await context.point.evaluate(request, traceparentOf(call));
  if (!answer.ok) return { kind: 'refuse', refusal: answer.refusal };
  switch (answer.value.decision) {
    case 'deny':
      return { kind: 'refuse', refusal: refusalOf(answer.value.refusal) };
    case 'replay':
      return { kind: 'replay', answer: answer.value };
    case 'permit': {
      const late = context.lease.problem('all', instant());
      return late === null ? { kind: 'permit', asked } : { kind: 'refuse', refusal: late };
    }
    case 'approved':
      return redeemApproved(context, call, asked, action.value);
    case 'step_up':
      return openStepUp(context, asked, action.value, answer.value);
  }
}

/** Of the HTTP request, or of the message where a proxy in between knows MCP only. */
function traceparentOf({ request, inbound }: GuardedCall): string | undefined {
  const meta = inbound.params._meta as { readonly traceparent?: unknown } | null | undefined;
  return readTraceparent(meta?.traceparent) ?? readTraceparent(request.headers.get('traceparent'));
}

async function describe(context: GuardContext, asked: Asked): Promise<Result<WireAction, Refusal>> {
  const facts = await resolveFacts(context, asked);
  if (!facts.ok) return facts;
  const digest = asked.method === 'tools/call' ? context.manifest.digestOf(asked.name) : undefined;
  return accepted(wireAction(context.action, asked, digest ?? null, facts.value));
}

async function resolveFacts(context: GuardContext, asked: Asked): Promise<Result<JsonObject, Refusal>> {
  if (context.facts === undefined || asked.method !== 'tools/call') return accepted({});
  try {
    return accepted(await context.facts({ name: asked.name, arguments: asked.arguments }));
  } catch (error) {
    context.log.error({ error, tool: asked.name }, 'the facts resolver failed; the call is refused');
    return refused(refusal('unavailable', 'What the arguments of this call refer to could not be looked up.'));
  }
}

async function redeemApproved(
  context: GuardContext,
  call: GuardedCall,
  asked: Asked,
  action: WireAction,
): Promise<Decided | 'again'> {
  const problem = checkGated(asked, context.manifest.tool(asked.name));
  if (problem !== null) return { kind: 'refuse', refusal: problem };
  const facts = await resolveFacts(context, asked);
  if (!facts.ok) return { kind: 'refuse', refusal: facts.refusal };
  // Decided for other facts, or for a tool that says something else of itself now: not what was approved.
  if (canonicalJson(facts.value) !== canonicalJson(action.facts as JsonObject)) return 'again';
  if ((await context.manifest.refresh()) === 'failed')
    return unavailable('The tool server cannot say what its tools are.');
  if (asked.method === 'tools/call' && (context.manifest.digestOf(asked.name) ?? null) !== action.manifest_digest) {
    return 'again';
  }
  const stale = await unlessHeard(context);
  if (stale !== null) return { kind: 'refuse', refusal: stale };
  if (isCallerGone(call)) return { kind: 'gone' };
  if (context.closing.aborted) return { kind: 'refuse', refusal: STOPPING };
  const redemption = await redeem(context, call.caller, action);
  if (redemption.ok) return unlessStale(context, asked, redemption.value);
  return EVALUATE_AGAIN.has(redemption.refusal.code) ? 'again' : { kind: 'refuse', refusal: redemption.refusal };
}

/** After an outage the server is asked at once, rather than at the loop's next turn: nobody is refused for a pause. */
async function unlessHeard({ lease, renewLease }: GuardContext): Promise<Refusal | null> {
  const problem = lease.problem('gated', instant());
  if (problem?.code !== 'unavailable') return problem;
  await Promise.race([renewLease(), sleep(LEASE_HEAR_MS, undefined, { ref: false })]);
  return lease.problem('gated', instant());
}

/** A process that stood still since it asked knows nothing of what ended meanwhile: the use is spent, and nothing runs. */
async function unlessStale(context: GuardContext, asked: Asked, redemption: Redemption): Promise<Decided> {
  const late = context.lease.problem('all', instant());
  if (late === null) return { kind: 'redeemed', asked, redemption };
  context.log.error({ redemption: redemption.redemptionId }, 'an approved call was not run: this guard stood still');
  await reportOutcome(context, redemption, 'failed', null);
  return { kind: 'refuse', refusal: late };
}

async function openStepUp(
  context: GuardContext,
  asked: Asked,
  action: WireAction,
  answer: StepUpAnswer,
): Promise<Decided> {
  const problem = checkGated(asked, context.manifest.tool(asked.name)) ?? (await unlessHeard(context));
  if (problem !== null) return { kind: 'refuse', refusal: problem };
  if (answer.txn !== null) {
    const opened = await handInChallenge(context, action, answer.step_up.step_up_id, answer.txn, answer.why);
    if (!opened.ok) return { kind: 'refuse', refusal: opened.refusal };
  }
  return {
    kind: 'wait',
    asked,
    pending: { stepUp: answer.step_up, why: answer.why, scopeChallenge: answer.scope_challenge },
  };
}

function unavailable(message: string): Decided {
  return { kind: 'refuse', refusal: refusal('unavailable', message) };
}
