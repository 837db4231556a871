import type { JsonObject, JsonValue } from '../../kernel/json.ts';
import { A2A_EXTENSION_URI } from '../../wire/a2a_extension.ts';
import { REFUSALS, type Refusal, refusal } from '../../wire/refusals.ts';
import { jsonAnswer } from '../answers.ts';
import { principalKey } from '../caller.ts';
import type { GuardedCall } from '../context.ts';
import { type Decided, decide, type ReplayAnswer } from '../decide.ts';
import { HOLDS_MAX } from '../limits.ts';
import { reportOutcome } from '../outcome.ts';
import { errorOf, taskNotFound, unauthorized, unsupported } from './errors.ts';
import { callContext, findOwnTask } from './own_tasks.ts';
import { readSent, type Sent } from './sent.ts';
import { type A2ACall, extensionsOf, type Serving } from './serving.ts';
import { answerOfTransport } from './stream_answer.ts';
import type { Ticket } from './ticket.ts';

/** Decides one message, and hands it to the agent if it may run or wait. */
export async function answerMessage(serving: Serving, call: A2ACall): Promise<Response> {
  const sent = readSent(call.params, serving.reading);
  if (!sent.ok) return jsonAnswer(errorOf(call.id, sent.refusal));
  const stranger = await findStranger(serving, call, sent.value);
  if (stranger !== null) return jsonAnswer(stranger);
  const guarded = guardedCall(call, sent.value);
  const decided = await decide(serving.context, guarded);
  switch (decided.kind) {
    case 'gone':
      return new Response(null, { status: 499 });
    case 'refuse':
      return refuse(serving, call, decided.refusal);
    case 'replay':
      return replay(serving, call, decided.answer);
    case 'wait':
      return (await answerWaiting(serving, call, decided)) ?? hand(serving, call, sent.value, guarded, decided);
    case 'permit':
    case 'redeemed':
      return hand(serving, call, sent.value, guarded, decided);
  }
}

/** Conversations, tasks and references are the caller's own, or the message goes nowhere. */
async function findStranger(serving: Serving, call: A2ACall, sent: Sent): Promise<JsonObject | null> {
  const { handler, conversations, executor } = serving;
  if (sent.contextId !== undefined && !conversations.isOf(call.caller, sent.contextId)) {
    const message = 'The contextId is not one that this agent gave you: leave it out to begin a conversation.';
    return errorOf(call.id, refusal('request_invalid', message));
  }
  for (const id of [...(sent.taskId === undefined ? [] : [sent.taskId]), ...sent.referenceTaskIds]) {
    if ((await findOwnTask(handler, conversations, call.caller, id)) === null) return taskNotFound(call.id);
  }
  if (sent.taskId !== undefined && typeof executor.live(sent.taskId)?.stepUpId === 'string') {
    return unsupported(call.id, 'This task waits for a person. Poll it or subscribe to it; cancel it to take it back.');
  }
  return null;
}

function guardedCall({ id, method, caller, request }: A2ACall, sent: Sent): GuardedCall {
  const params = { name: sent.tool, arguments: sent.arguments };
  const inbound = { id, method: 'tools/call', params, era: '2026', message: { method }, text: '' } as const;
  // A message is work that goes on without its sender (A2A §3.3.3): that a connection ends is no sign that it left.
  const traceparent = request.headers.get('traceparent');
  const headers = traceparent === null ? {} : { traceparent };
  return { inbound, caller, request: new Request(request.url, { headers }), cancelled: new AbortController().signal };
}

function refuse({ context }: Serving, call: A2ACall, refused: Refusal): Response {
  if (REFUSALS[refused.code].status !== 401) return jsonAnswer(errorOf(call.id, refused));
  return unauthorized(call.id, refused, context.action.issuer, context.metadataUrl);
}

/** The same message again, while it waits: its task, and not another one. */
async function answerWaiting(serving: Serving, call: A2ACall, waiting: Extract<Decided, { kind: 'wait' }>) {
  const { context, executor, transport } = serving;
  const { stepUp } = waiting.pending;
  const known = executor.waitingFor(principalKey(call.caller), stepUp.step_up_id);
  if (known !== undefined) {
    executor.live(known)?.standing.refresh(call.caller);
    const asked = callContext(call.caller, extensionsOf(call.request));
    const method = call.method === 'SendMessage' ? 'GetTask' : 'SubscribeToTask';
    const answer = await transport.handle({ jsonrpc: '2.0', id: call.id, method, params: { id: known } }, asked);
    const isOne = method === 'GetTask' && 'result' in answer && answer.error === undefined;
    return answerOfTransport(
      serving,
      call.caller,
      isOne ? { ...answer, result: { task: answer.result } } : answer,
      asked,
    );
  }
  if (context.holds.count < HOLDS_MAX) return null;
  // The floor under the lane: the request for approval stays, and the same message again finds it.
  const detail = { step_up_id: stepUp.step_up_id, approval_url: stepUp.approval_url, expires_at: stepUp.expires_at };
  return jsonAnswer(errorOf(call.id, refusal('step_up_required', 'A person must approve this message.', detail)));
}

async function hand(
  serving: Serving,
  call: A2ACall,
  sent: Sent,
  guarded: GuardedCall,
  decided: Ticket['decided'],
): Promise<Response> {
  const { context, conversations, executor, handler, transport } = serving;
  const asked = callContext(call.caller, extensionsOf(call.request));
  const ticket: Ticket = { tool: sent.tool, call: guarded, decided, isTaken: false };
  executor.admit(asked, ticket);
  const known = sent.taskId === undefined ? null : await findOwnTask(handler, conversations, call.caller, sent.taskId);
  const contextId = sent.contextId ?? known?.contextId ?? conversations.begin(call.caller);
  const body = { jsonrpc: '2.0', id: call.id, method: call.method, params: sent.params(contextId) };
  const answer = await answerOfTransport(serving, call.caller, await transport.handle(body, asked), asked);
  // The SDK refused what the guard let through: the approval is spent, and nothing ran.
  if (!ticket.isTaken && decided.kind === 'redeemed') await reportOutcome(context, decided.redemption, 'failed', null);
  return answer;
}

/** The recorded outcome of the same message; nothing runs. */
function replay({ context }: Serving, call: A2ACall, answer: ReplayAnswer): Response {
  const { redeemed_at, outcome } = answer;
  const recorded = (answer.result as JsonObject | null)?.result;
  if (!isObject(recorded)) {
    const what = outcome === 'done' ? 'succeeded; its answer was too large to keep' : `has the outcome "${outcome}"`;
    const message = `The same message was started at ${redeemed_at} and ${what}. Nothing was run now.`;
    return jsonAnswer(errorOf(call.id, refusal('outcome_unknown', message)));
  }
  const marked = Object.fromEntries(Object.entries(recorded).map(([kind, value]) => [kind, withMark(value, answer)]));
  const message = { jsonrpc: '2.0', id: call.id, result: marked };
  if (call.method === 'SendMessage') return jsonAnswer(message);
  context.log.debug({ redeemed_at }, 'a recorded outcome is sent as a stream of one event');
  const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' };
  return new Response(`data: ${JSON.stringify(message)}\n\n`, { headers });
}

function withMark(value: JsonValue | undefined, { redeemed_at, outcome }: ReplayAnswer): JsonValue | undefined {
  if (!isObject(value)) return value;
  const metadata = isObject(value.metadata) ? value.metadata : {};
  return { ...value, metadata: { ...metadata, [A2A_EXTENSION_URI]: { replayed: { redeemed_at, outcome } } } };
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
