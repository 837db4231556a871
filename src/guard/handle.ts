import { REFUSALS, type Refusal, refusal, refusalBody } from '../wire/refusals.ts';
import {
  edgeAnswer,
  errorMessage,
  jsonAnswer,
  METHOD_NOT_FOUND_CODE,
  REFUSED_CODE,
  unauthorizedAnswer,
} from './answers.ts';
import type { Authenticate } from './authenticate.ts';
import type { Caller } from './caller.ts';
import { type GuardContext, type GuardedCall, tracked } from './context.ts';
import { type InboundMessage, readMessage } from './edge.ts';
import { answerCall } from './guarded_call.ts';
import { instant } from './held_lease.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { BODIES_MAX, CALLS_IN_FLIGHT_MAX } from './limits.ts';
import { answerListen } from './listen.ts';
import { type Treatment, treatmentOf } from './methods.ts';
import { refusalMessageOf } from './refusal_message.ts';
import { runPlain } from './run.ts';
import { STOPPING } from './stopping.ts';
import { answerToolList, refuseRequest } from './tool_list.ts';
import type { RegistrationState } from './upkeep.ts';

export interface Handling {
  readonly context: GuardContext;
  readonly authenticate: Authenticate;
  readonly registration: RegistrationState;
  readonly hosts: ReadonlySet<string>;
  readonly origins: ReadonlySet<string>;
  readonly areListsOpen: boolean;
}

/** One request to the MCP endpoint, from the outside in: address, method, token, message, treatment. */
export async function handle(handling: Handling, request: Request): Promise<Response> {
  const { context } = handling;
  const unknownAddress = checkAddress(handling, request);
  if (unknownAddress !== null) return unknownAddress;
  // GET and DELETE belong to sessions, which could carry what no one decided on.
  if (request.method !== 'POST') return new Response(null, { status: 405, headers: { allow: 'POST' } });
  const caller = await authenticateOrOutage(handling, request);
  if (!('clientId' in caller)) {
    return caller.code === 'unavailable' ? unavailable(caller) : unauthorizedAnswer(caller, context.metadataUrl);
  }
  if (context.inFlight.count >= CALLS_IN_FLIGHT_MAX) {
    return unavailable(refusal('unavailable', `This tool server works on ${CALLS_IN_FLIGHT_MAX} calls already.`));
  }
  if (context.reading.count >= BODIES_MAX) {
    return unavailable(refusal('unavailable', `This tool server reads ${BODIES_MAX} messages already.`));
  }
  context.reading.count += 1;
  const inbound = await readMessage(request).finally(() => {
    context.reading.count -= 1;
  });
  if (!inbound.ok) return edgeAnswer(inbound.refusal);
  const treatment = treatmentOf(inbound.value.method);
  if (treatment === undefined) return methodRefused(inbound.value);
  return track(context, caller, inbound.value, request, (call) => treat(handling, call, treatment));
}

/** Runs `serve` while the caller can cancel it by its id. */
async function track(
  context: GuardContext,
  caller: Caller,
  inbound: InboundMessage,
  request: Request,
  serve: (call: GuardedCall) => Promise<Response>,
): Promise<Response> {
  if (inbound.id === undefined) {
    const { requestId } = inbound.params;
    const isCancel = inbound.method === 'notifications/cancelled';
    if (isCancel && (typeof requestId === 'string' || typeof requestId === 'number')) {
      context.inFlight.cancel(caller, requestId);
    }
    return serve({ inbound, caller, request, cancelled: new AbortController().signal });
  }
  const { cancelled, done } = context.inFlight.add(caller, inbound.id);
  let response: Response;
  try {
    response = await tracked(context, serve({ inbound, caller, request, cancelled }));
  } catch (error) {
    done();
    throw error;
  }
  return whenRead(response, done);
}

/** A streamed answer is in flight until it ends or its reader leaves. */
function whenRead(response: Response, done: () => void): Response {
  const { body, status, headers } = response;
  if (body === null || !headers.get('content-type')?.startsWith('text/event-stream')) {
    done();
    return response;
  }
  const reader = body.getReader();
  const watched = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done: isDone, value } = await reader.read();
        if (isDone) {
          done();
          controller.close();
        } else controller.enqueue(value);
      } catch (error) {
        done();
        controller.error(error);
      }
    },
    async cancel(reason) {
      done();
      await reader.cancel(reason);
    },
  });
  return new Response(watched, { status, headers });
}

async function treat(handling: Handling, call: GuardedCall, treatment: Treatment): Promise<Response> {
  const { context, registration, areListsOpen } = handling;
  if (context.closing.aborted) return refuseMessage(call.inbound, STOPPING);
  const silence = registration.isActive ? context.lease.problem('all', instant()) : null;
  if (silence !== null) return refuseMessage(call.inbound, silence);
  switch (treatment) {
    case 'pass':
      return runPlain(context, call);
    case 'open_list':
      if (areListsOpen) return runPlain(context, call);
      return refuseRequest(
        context,
        call,
        refusal('method_not_allowed', `${call.inbound.method} is closed here: its answer is not filtered by task.`),
      );
    case 'filter_tools':
    case 'evaluate':
    case 'listen':
      break;
  }
  if (!registration.isActive || !context.manifest.isKnown) {
    return refuseRequest(
      context,
      call,
      refusal(
        'tool_server_inactive',
        "This tool server is not accepted: an administrator accepts it on the console, or the guard's log says what is wrong.",
      ),
    );
  }
  if (treatment === 'filter_tools') return answerToolList(context, call);
  return treatment === 'listen' ? answerListen(context, call, areListsOpen) : answerCall(context, call);
}

function refuseMessage(inbound: InboundMessage, refused: Refusal): Response {
  // A notification has no answer that could carry the reason.
  if (inbound.id === undefined) return new Response(null, { status: 202 });
  return jsonAnswer(refusalMessageOf(inbound, refused));
}

/** DNS rebinding: a page in a browser must not reach a local server under another name (MCP, Transports). */
function checkAddress(handling: Handling, request: Request): Response | null {
  const { host } = new URL(request.url);
  if (!handling.hosts.has(host)) {
    return plainRefusal(refusal('host_unknown', `This tool server does not answer for the host ${host}.`));
  }
  const origin = request.headers.get('origin');
  if (origin === null || handling.origins.has(origin)) return null;
  return plainRefusal(refusal('cross_site_request', 'Pages of this origin may not call this tool server.'));
}

async function authenticateOrOutage(handling: Handling, request: Request): Promise<Caller | Refusal> {
  try {
    const caller = await handling.authenticate(request);
    return caller.ok ? caller.value : caller.refusal;
  } catch (error) {
    if (!(error instanceof IssuerOutage)) throw error;
    handling.context.log.error({ error }, 'a token cannot be verified: the keys of the issuer cannot be read');
    // Not 401: the token may be good, and a client would throw it away.
    return refusal('unavailable', 'The access token cannot be verified now.');
  }
}

function unavailable(refused: Refusal): Response {
  const answer = plainRefusal(refused);
  answer.headers.set('retry-after', '1');
  return answer;
}

function plainRefusal(refused: Refusal): Response {
  const error = { code: REFUSED_CODE, message: refused.message, data: refusalBody(refused) };
  // MCP, Transports: such an error has no id.
  return jsonAnswer({ jsonrpc: '2.0', error, id: null }, REFUSALS[refused.code].status);
}

function methodRefused(inbound: InboundMessage): Response {
  const refused = refusal('method_not_allowed', `The method ${inbound.method} is not open to agents here.`);
  // A notification has no answer that could carry the reason.
  if (inbound.id === undefined) return new Response(null, { status: 202 });
  return jsonAnswer(errorMessage(inbound, METHOD_NOT_FOUND_CODE, refused.message, refusalBody(refused)));
}
