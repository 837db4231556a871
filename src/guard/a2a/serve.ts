import type { JsonObject, JsonValue } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { parseStrictJson } from '../../kernel/strict_json.ts';
import { A2A_VERSION } from '../../wire/a2a_extension.ts';
import { REFUSALS, type Refusal, refusal } from '../../wire/refusals.ts';
import { jsonAnswer } from '../answers.ts';
import { readBody } from '../body.ts';
import type { Caller } from '../caller.ts';
import { tracked } from '../context.ts';
import type { RequestId } from '../edge.ts';
import { instant } from '../held_lease.ts';
import { IssuerOutage } from '../issuer_outage.ts';
import { BODIES_MAX, CALLS_IN_FLIGHT_MAX } from '../limits.ts';
import { STOPPING } from '../stopping.ts';
import { answerAboutTask, answerList } from './about_tasks.ts';
import { errorOf, methodRefused, unauthorized, unsupported, versionRefused } from './errors.ts';
import { a2aTreatmentOf } from './methods.ts';
import { answerMessage } from './send.ts';
import type { A2ACall, Serving } from './serving.ts';

/** One request to the endpoint, from the outside in: address, method, token, message, treatment. */
export async function serve(serving: Serving, request: Request): Promise<Response> {
  const unknownAddress = checkAddress(serving, request);
  if (unknownAddress !== null) return plain(unknownAddress);
  if (request.method !== 'POST') return new Response(null, { status: 405, headers: { allow: 'POST' } });
  const { context, inFlight } = serving;
  const caller = await authenticateOrOutage(serving, request);
  if (!('clientId' in caller)) {
    if (caller.code === 'unavailable') return later(caller);
    return unauthorized(null, caller, context.action.issuer, context.metadataUrl);
  }
  if (inFlight.count >= CALLS_IN_FLIGHT_MAX || context.reading.count >= BODIES_MAX) {
    return later(refusal('unavailable', 'This agent works on as many requests as it can.'));
  }
  context.reading.count += 1;
  const call = await readCall(request, caller).finally(() => {
    context.reading.count -= 1;
  });
  if (!call.ok) return call.refusal;
  inFlight.count += 1;
  try {
    return await tracked(context, treat(serving, call.value));
  } finally {
    inFlight.count -= 1;
  }
}

async function treat(serving: Serving, call: A2ACall): Promise<Response> {
  const { context, registration } = serving;
  const version = call.request.headers.get('a2a-version') ?? '';
  if (version !== A2A_VERSION) return jsonAnswer(versionRefused(call.id, version));
  const treatment = a2aTreatmentOf(call.method);
  if (treatment === undefined) return jsonAnswer(methodRefused(call.id, call.method));
  if (context.closing.aborted) return jsonAnswer(errorOf(call.id, STOPPING));
  if (!registration.isActive || !context.manifest.isKnown) {
    const message =
      "This agent is not accepted here: an administrator accepts it, or the guard's log says what is wrong.";
    return jsonAnswer(errorOf(call.id, refusal('tool_server_inactive', message)));
  }
  const silence = context.lease.problem('all', instant());
  if (silence !== null) return jsonAnswer(errorOf(call.id, silence));
  const isStream = call.method === 'SendStreamingMessage' || call.method === 'SubscribeToTask';
  if (isStream && !serving.isStreaming) return jsonAnswer(unsupported(call.id, 'This agent does not stream: poll.'));
  switch (treatment) {
    case 'decide':
      return answerMessage(serving, call);
    case 'own_task':
      return answerAboutTask(serving, call);
    case 'own_list':
      return answerList(serving, call);
  }
}

async function readCall(request: Request, caller: Caller): Promise<Result<A2ACall, Response>> {
  const type = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') return wrong(415, 'Send the request as application/json.');
  const bytes = await readBody(request);
  if (bytes === 'late') return wrong(408, 'The request took too long to arrive.');
  if (bytes === null) return refused(plain(refusal('body_too_large', 'The request is too large.')));
  const parsed = parseStrictJson(bytes);
  if (!parsed.ok) return refused(plain(refusal('json_invalid', parsed.refusal.message)));
  const { value } = parsed;
  if (!isObject(value) || value.jsonrpc !== '2.0' || typeof value.method !== 'string') {
    return wrong(400, 'Send one JSON-RPC 2.0 request; batches and answers are not accepted.');
  }
  const { id, method, params = {} } = value;
  if (typeof id !== 'string' && !Number.isInteger(id)) return wrong(400, 'The id must be a string or an integer.');
  if (!isObject(params)) return wrong(400, 'The params must be an object.');
  return accepted({ id: id as RequestId, method, params, caller, request });
}

/** DNS rebinding: a page in a browser must not reach a local server under another name. */
function checkAddress({ hosts, origins }: Serving, request: Request): Refusal | null {
  const { host } = new URL(request.url);
  if (!hosts.has(host)) return refusal('host_unknown', `This agent does not answer for the host ${host}.`);
  const origin = request.headers.get('origin');
  if (origin === null || origins.has(origin)) return null;
  return refusal('cross_site_request', 'Pages of this origin may not call this agent.');
}

async function authenticateOrOutage({ authenticate, context }: Serving, request: Request): Promise<Caller | Refusal> {
  try {
    const caller = await authenticate(request);
    return caller.ok ? caller.value : caller.refusal;
  } catch (error) {
    if (!(error instanceof IssuerOutage)) throw error;
    context.log.error({ error }, 'a token cannot be verified: the keys of the issuer cannot be read');
    // Not 401: the token may be good, and a client would throw it away.
    return refusal('unavailable', 'The access token cannot be verified now.');
  }
}

function later(refused: Refusal): Response {
  const answer = plain(refused);
  answer.headers.set('retry-after', '1');
  return answer;
}

function plain(refused: Refusal): Response {
  return jsonAnswer(errorOf(null, refused), REFUSALS[refused.code].status);
}

function wrong(status: number, message: string): Result<never, Response> {
  return refused(jsonAnswer(errorOf(null, refusal('request_invalid', message)), status));
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
