import type { JsonRpcTransportHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { JsonObject } from '../../kernel/json.ts';
import { jsonAnswer } from '../answers.ts';
import type { Caller } from '../caller.ts';
import { tracked } from '../context.ts';
import { eventStream } from '../event_stream.ts';
import { type Serving, withExtensions } from './serving.ts';

type TransportAnswer = Awaited<ReturnType<JsonRpcTransportHandler['handle']>>;
type Streamed = Extract<TransportAnswer, AsyncGenerator<unknown>>;

/** What the SDK answered: one JSON message, or a stream of them (A2A §9.4.2). */
export async function answerOfTransport(
  serving: Serving,
  caller: Caller,
  answer: TransportAnswer,
  context: ServerCallContext,
): Promise<Response> {
  if (!isStream(answer)) return withExtensions(jsonAnswer(answer as unknown as JsonObject), context);
  // What fails before the first event is an error of the request, and no stream.
  let first: IteratorResult<unknown>;
  try {
    first = await answer.next();
  } catch (error) {
    return jsonAnswer(failure(serving, error));
  }
  return withExtensions(stream(serving, caller, answer, first), context);
}

/**
 * Ends with the token of whoever reads it: after that, they subscribe again with another one. The SDK keeps what an agent
 * publishes while its stream is read, so that it is read to its end whoever leaves.
 */
function stream(serving: Serving, caller: Caller, answer: Streamed, first: IteratorResult<unknown>): Response {
  let isRead = true;
  const leave = () => {
    if (isRead) serving.inFlight.count -= 1;
    isRead = false;
  };
  const out = eventStream(leave);
  serving.inFlight.count += 1;
  const copy = async (): Promise<void> => {
    try {
      for (let next = first; next.done !== true; next = await answer.next()) {
        if (isRead && !(await serving.isInForce(caller))) {
          leave();
          out.end();
        }
        if (isRead) out.send(`data: ${JSON.stringify(next.value)}\n\n`);
      }
    } catch (error) {
      const said = failure(serving, error);
      if (isRead) out.send(`event: error\ndata: ${JSON.stringify(said)}\n\n`);
    } finally {
      leave();
      out.end();
    }
  };
  void tracked(serving.context, copy());
  return out.response;
}

function failure({ context, transport }: Serving, error: unknown) {
  context.log.error({ error }, 'an answer of the agent failed');
  const { mapToJSONRPCError } = transport.constructor as typeof JsonRpcTransportHandler;
  return { jsonrpc: '2.0', id: null, error: mapToJSONRPCError(error) } as unknown as JsonObject;
}

function isStream(answer: TransportAnswer): answer is Streamed {
  return Symbol.asyncIterator in answer;
}
