import type { JsonObject } from '../kernel/json.ts';
import { refusal } from '../wire/refusals.ts';
import type { Asked } from './action.ts';
import { errorMessage, INTERNAL_ERROR_CODE, jsonAnswer, refusalMessage } from './answers.ts';
import { authInfoOf } from './caller.ts';
import { type GuardContext, type GuardedCall, tracked } from './context.ts';
import { eventStream, isEventStream, isJson, messageBlock, readBlocks, rewriteMessages } from './event_stream.ts';
import { approvedRequest, plainRequest } from './inner_request.ts';
import { MESSAGE_BYTES_MAX } from './limits.ts';
import { outcomeOf, recordedAnswer, reportOutcome } from './outcome.ts';
import type { Redemption } from './redeem.ts';
import { withoutReservedMeta } from './reserved_meta.ts';

/** Runs what policy permits without approval, and what only passes through. */
export async function runPlain(context: GuardContext, call: GuardedCall): Promise<Response> {
  const { request, parsedBody } = plainRequest(
    call.inbound,
    call.request,
    AbortSignal.any([call.request.signal, call.cancelled]),
  );
  try {
    const authInfo = authInfoOf(call.caller, context.action.resource);
    return await rewriteMessages(await context.inner(request, { parsedBody, authInfo }), withoutReservedMeta);
  } catch (error) {
    context.log.error({ error, method: call.inbound.method }, 'the protected handler failed');
    return jsonAnswer(errorMessage(call.inbound, INTERNAL_ERROR_CODE, 'The tool server failed.'), 500);
  }
}

/** Runs an approved call and answers over whatever its handler answers with, JSON or an event stream. */
export function runRedeemed(
  context: GuardContext,
  call: GuardedCall,
  asked: Asked,
  redemption: Redemption,
): Promise<Response> {
  return tracked(context, runAndAnswer(context, call, asked, redemption));
}

async function runAndAnswer(
  context: GuardContext,
  call: GuardedCall,
  asked: Asked,
  redemption: Redemption,
): Promise<Response> {
  const started = await start(context, call, asked, redemption);
  if (started !== null && isEventStream(started)) {
    const stream = eventStream(() => {});
    void tracked(context, settle(context, call, redemption, started, stream.send)).then((final) => {
      stream.send(messageBlock(final));
      stream.end();
    });
    return stream.response;
  }
  const final = await settle(context, call, redemption, started, () => {});
  return new Response(final, { headers: { 'content-type': 'application/json', 'cache-control': 'no-store' } });
}

/** Runs an approved call inside a stream that is open already. */
export async function runRedeemedInto(
  context: GuardContext,
  call: GuardedCall,
  asked: Asked,
  redemption: Redemption,
  send: (block: string) => void,
): Promise<void> {
  const started = start(context, call, asked, redemption);
  const final = tracked(
    context,
    started.then((response) => settle(context, call, redemption, response, send)),
  );
  send(messageBlock(await final));
}

/**
 * Hands the canonical call over. From here on only an explicit cancel reaches the tool: a run whose caller dropped off
 * goes on to its end, and the next identical call gets its outcome. Null when the handler threw.
 */
async function start(
  context: GuardContext,
  call: GuardedCall,
  asked: Asked,
  redemption: Redemption,
): Promise<Response | null> {
  const { request, parsedBody } = approvedRequest(call.inbound, asked, redemption, call.request, call.cancelled);
  const authInfo = authInfoOf(call.caller, context.action.resource, redemption.redemptionId);
  try {
    return await context.inner(request, { parsedBody, authInfo });
  } catch (error) {
    context.log.error(
      { error, redemption: redemption.redemptionId },
      'the protected handler failed while it ran a call',
    );
    return null;
  }
}

/**
 * Reads the run to its end, sends on everything but the answer, records the outcome and gives back the answer. Never
 * throws: a run that broke off has an unknown outcome, and says so.
 */
async function settle(
  context: GuardContext,
  call: GuardedCall,
  redemption: Redemption,
  response: Response | null,
  send: (block: string) => void,
): Promise<string> {
  let text: string | null = null;
  try {
    if (response !== null) text = await readAnswer(call, response, send);
  } catch (error) {
    context.log.error({ error, redemption: redemption.redemptionId }, 'the answer of the tool server broke off');
  }
  if (text === null) {
    await reportOutcome(context, redemption, 'unknown', null);
    return JSON.stringify(unknownOutcome(call, 'The tool server failed or left while it ran this call.'));
  }
  const cleaned = withoutReservedMeta(text);
  const answer = JSON.parse(cleaned) as JsonObject;
  const outcome = outcomeOf(answer);
  await reportOutcome(context, redemption, outcome, outcome === 'unknown' ? null : recordedAnswer(answer));
  if (outcome !== 'unknown') return cleaned;
  // Inputs to a gated tool are part of what is approved: it may not ask for more in the middle of a run.
  return JSON.stringify(
    unknownOutcome(
      call,
      'The tool asked for more input, or started a task, which a call that needs approval may not do.',
    ),
  );
}

function unknownOutcome(call: GuardedCall, what: string): JsonObject {
  return refusalMessage(call.inbound, refusal('outcome_unknown', `${what} The approval was used.`));
}

/** The text of the answer to this call; null if the response ends without one. */
async function readAnswer(
  call: GuardedCall,
  response: Response,
  send: (block: string) => void,
): Promise<string | null> {
  if (response.body === null) return null;
  if (isEventStream(response)) {
    for await (const block of readBlocks(response.body)) {
      if (block.data !== null && isAnswer(call, block.data)) return block.data;
      send(block.raw);
    }
    return null;
  }
  if (!isJson(response)) return null;
  const text = await response.text();
  return text.length <= MESSAGE_BYTES_MAX && isAnswer(call, text) ? text : null;
}

function isAnswer(call: GuardedCall, text: string): boolean {
  try {
    const message = JSON.parse(text) as JsonObject;
    return message.id === call.inbound.id && (message.result !== undefined || message.error !== undefined);
  } catch {
    return false;
  }
}
