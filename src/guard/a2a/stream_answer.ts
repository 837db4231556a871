import type { JsonRpcTransportHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { JsonObject } from '../../kernel/json.ts';
import { jsonAnswer } from '../answers.ts';
import { tracked } from '../context.ts';
import { eventStream } from '../event_stream.ts';
import { type Serving, withExtensions } from './serving.ts';

type TransportAnswer = Awaited<ReturnType<JsonRpcTransportHandler['handle']>>;
type Streamed = Extract<TransportAnswer, AsyncGenerator<unknown>>;

/** What the SDK answered: one JSON message, or a stream of them (A2A §9.4.2). */
export async function answerOfTransport(
  serving: Pick<Serving, 'context' | 'transport'>,
  answer: TransportAnswer,
  context: ServerCallContext,
): Promise<Response> {
  if (!isStream(answer)) return withExtensions(jsonAnswer(answer as unknown as JsonObject), context);
  // What fails before the first event is an error of the request, and no stream.
  let first: IteratorResult<unknown>;
  try {
    first = await answer.next();
  } catch (error) {
    return jsonAnswer(failure(serving, context, error));
  }
  return withExtensions(stream(serving, answer, first, context), context);
}

function stream(
  serving: Pick<Serving, 'context' | 'transport'>,
  answer: Streamed,
  first: IteratorResult<unknown>,
  context: ServerCallContext,
): Response {
  const gone = Promise.withResolvers<'gone'>();
  const out = eventStream(() => gone.resolve('gone'));
  const closing = onceAborted(serving.context.closing);
  const copy = async (): Promise<void> => {
    try {
      for (let next = first; next.done !== true; ) {
        out.send(`data: ${JSON.stringify(next.value)}\n\n`);
        const following = await Promise.race([answer.next(), gone.promise, closing]);
        if (typeof following === 'string') break;
        next = following;
      }
    } catch (error) {
      out.send(`event: error\ndata: ${JSON.stringify(failure(serving, context, error))}\n\n`);
    } finally {
      out.end();
      // Not awaited: it ends when its next event comes.
      answer.return(undefined).catch(() => {});
    }
  };
  void tracked(serving.context, copy());
  return out.response;
}

function failure({ context, transport }: Pick<Serving, 'context' | 'transport'>, _: ServerCallContext, error: unknown) {
  context.log.error({ error }, 'an answer of the agent failed');
  const { mapToJSONRPCError } = transport.constructor as typeof JsonRpcTransportHandler;
  return { jsonrpc: '2.0', id: null, error: mapToJSONRPCError(error) } as unknown as JsonObject;
}

function onceAborted(signal: AbortSignal): Promise<'closing'> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('closing');
    else signal.addEventListener('abort', () => resolve('closing'), { once: true });
  });
}

function isStream(answer: TransportAnswer): answer is Streamed {
  return Symbol.asyncIterator in answer;
}
