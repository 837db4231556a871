import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { REFUSALS, type Refusal, refusal, refusalBody } from '../wire/refusals.ts';
import { errorMessage, jsonAnswer, REFUSED_CODE, unauthorizedAnswer } from './answers.ts';
import { wireCaller } from './caller.ts';
import type { GuardContext, GuardedCall } from './context.ts';
import { rewriteMessages } from './event_stream.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { runPlain } from './run.ts';

/** `tools/list` as this caller may see it: page by page, what the task includes and its owner accepted. */
export async function answerToolList(context: GuardContext, call: GuardedCall): Promise<Response> {
  const [visible, response] = await Promise.all([visibleNames(context, call), runPlain(context, call)]);
  if (!('code' in visible)) return rewriteMessages(response, (text) => onlyVisible(text, visible));
  await response.body?.cancel();
  return refuseRequest(context, call, visible);
}

/** A refusal of a request that is no tool call, before it had any effect. */
export function refuseRequest(context: GuardContext, call: GuardedCall, refused: Refusal): Response {
  if (REFUSALS[refused.code].status === 401) {
    return unauthorizedAnswer(refused, context.metadataUrl, call.inbound.id);
  }
  return jsonAnswer(errorMessage(call.inbound, REFUSED_CODE, refused.message, refusalBody(refused)));
}

async function visibleNames(context: GuardContext, call: GuardedCall): Promise<ReadonlySet<string> | Refusal> {
  try {
    const answer = await context.point.visibleTools(wireCaller(call.caller), context.manifest.digests());
    return answer.ok ? new Set(answer.value.tools) : answer.refusal;
  } catch (error) {
    if (!(error instanceof IssuerOutage)) throw error;
    context.log.error({ error }, 'tools cannot be listed: the server cannot be asked');
    return refusal('unavailable', 'The server that says which tools you may use cannot be reached.');
  }
}

function onlyVisible(text: string, visible: ReadonlySet<string>): string {
  const message = JSON.parse(text) as JsonObject;
  const result = message.result;
  if (!isObject(result) || !Array.isArray(result.tools)) return text;
  const tools = (result.tools as JsonValue[]).filter((tool) => isObject(tool) && visible.has(String(tool.name)));
  return JSON.stringify({ ...message, result: { ...result, tools } });
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
