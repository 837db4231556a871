import type { JsonObject, JsonValue } from '../../kernel/json.ts';
import { refusal } from '../../wire/refusals.ts';
import { STEP_UP_META } from '../../wire/result_meta.ts';
import { refusalMessage } from '../answers.ts';
import { type GuardContext, type GuardedCall, tracked } from '../context.ts';
import { type Decided, decide, type Pending } from '../decide.ts';
import { type EventStream, eventStream, messageBlock } from '../event_stream.ts';
import { HOLD_PROGRESS_MS, HOLD_SECONDS_MAX } from '../limits.ts';
import { refusalMessageOf } from '../refusal_message.ts';
import { replayMessage } from '../replay.ts';
import { runPlain, runRedeemedInto } from '../run.ts';
import { waitForStepUp } from '../wait.ts';
import { retryMessage, stepUpMeta } from './retry.ts';

/**
 * Keeps the call open with progress notifications and goes on with it when a person approved. A caller that drops off
 * leaves the step-up open; only an explicit cancel withdraws it (design-review 20).
 */
export function holdAnswer(context: GuardContext, call: GuardedCall, name: string, pending: Pending): Response {
  const gone = new AbortController();
  const stream = eventStream(() => gone.abort());
  context.holds.count += 1;
  void tracked(context, holdAndRun(context, call, { stream, gone: gone.signal, name, pending }))
    .catch((error: unknown) => {
      context.log.error({ error }, 'a held call failed');
      stream.send(
        messageBlock(
          JSON.stringify(refusalMessage(call.inbound, refusal('unavailable', 'Waiting for the approval failed.'))),
        ),
      );
    })
    .finally(() => {
      context.holds.count -= 1;
      stream.end();
    });
  return stream.response;
}

interface Held {
  readonly stream: EventStream;
  readonly gone: AbortSignal;
  readonly name: string;
  readonly pending: Pending;
}

async function holdAndRun(context: GuardContext, call: GuardedCall, held: Held): Promise<void> {
  const { stream, pending } = held;
  const stopped = AbortSignal.any([held.gone, call.request.signal, call.cancelled, context.closing]);
  const stopProgress = sendProgress(call, held);
  const status = await waitForStepUp(context.point, pending.stepUp.step_up_id, {
    untilMs: Date.now() + HOLD_SECONDS_MAX * 1000,
    signal: stopped,
    log: context.log,
  }).finally(stopProgress);
  if (call.cancelled.aborted) {
    // MCP: a cancelled request gets no answer.
    await withdraw(context, pending.stepUp.step_up_id);
    return;
  }
  if (held.gone.aborted || call.request.signal.aborted) return;
  if (status === null) {
    stream.send(messageBlock(JSON.stringify(retryMessage(call.inbound, held.name, pending))));
    return;
  }
  if (status.state === 'expired' || status.state === 'withdrawn') {
    // Evaluating would open a new request for approval, which nobody asked for.
    const code = status.state === 'expired' ? 'step_up_expired' : 'step_up_withdrawn';
    const said = refusal(code, status.reason ?? 'The request for approval ended.', { step_up_id: status.step_up_id });
    stream.send(messageBlock(JSON.stringify(refusalMessageOf(call.inbound, said))));
    return;
  }
  // Token, task, policy and facts are all looked at again before anything runs.
  await finish(context, call, held, await decide(context, stillThere(call, held.gone)));
}

async function finish(context: GuardContext, call: GuardedCall, held: Held, decided: Decided): Promise<void> {
  const send = (message: JsonObject) => held.stream.send(messageBlock(JSON.stringify(message)));
  switch (decided.kind) {
    case 'redeemed':
      return runRedeemedInto(context, call, decided.asked, decided.redemption, held.stream.send);
    case 'permit': {
      // The policy changed while the call was held.
      const response = await runPlain(context, call);
      held.stream.send(await asBlocks(response));
      return;
    }
    case 'replay':
      return send(replayMessage(call.inbound, decided.answer));
    case 'refuse':
      return send(refusalMessageOf(call.inbound, decided.refusal));
    case 'wait':
      return send(retryMessage(call.inbound, held.name, decided.pending));
    case 'gone':
      return;
  }
}

async function asBlocks(response: Response): Promise<string> {
  const text = await response.text();
  return response.headers.get('content-type')?.startsWith('text/event-stream') ? text : messageBlock(text);
}

/** The stream that we write is the other half of the connection: its reader may leave before the request's signal says so. */
function stillThere(call: GuardedCall, gone: AbortSignal): GuardedCall {
  return { ...call, cancelled: AbortSignal.any([call.cancelled, gone]) };
}

async function withdraw(context: GuardContext, stepUpId: string): Promise<void> {
  try {
    const answer = await context.point.withdraw(stepUpId);
    if (!answer.ok)
      context.log.info({ step_up: stepUpId, refusal: answer.refusal.code }, 'nothing was left to withdraw');
  } catch (error) {
    context.log.warn({ error, step_up: stepUpId }, 'a cancelled call could not be withdrawn; it expires');
  }
}

/** Tells the caller at once and then every few seconds; gives back how to stop. */
function sendProgress(call: GuardedCall, held: Held): () => void {
  const startedAt = Date.now();
  const token = progressToken(call);
  const send = () => {
    const seconds = (Date.now() - startedAt) / 1000;
    const notification = {
      jsonrpc: '2.0',
      method: 'notifications/progress',
      params: {
        progressToken: token,
        // Far below what the tool's own progress will say, so that it never goes backwards.
        progress: Number((seconds / 1000 + 0.001).toFixed(6)),
        _meta: { [STEP_UP_META]: stepUpMeta(held.pending.stepUp) },
        message: `Waiting for a person to approve ${held.name}: ${held.pending.stepUp.approval_url}`,
      },
    };
    held.stream.send(messageBlock(JSON.stringify(notification)));
  };
  send();
  const timer = setInterval(send, HOLD_PROGRESS_MS);
  return () => clearInterval(timer);
}

export function progressToken(call: GuardedCall): JsonValue | undefined {
  const meta = call.inbound.params._meta;
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) return undefined;
  const token = (meta as JsonObject).progressToken;
  return typeof token === 'string' || typeof token === 'number' ? token : undefined;
}
