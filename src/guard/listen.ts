import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { GuardContext, GuardedCall } from './context.ts';
import { decide } from './decide.ts';
import { SUBSCRIBED_RESOURCES_MAX } from './limits.ts';
import { runPlain } from './run.ts';
import { endWithGuard } from './stopping.ts';
import { refuseRequest } from './tool_list.ts';

/**
 * `subscriptions/listen` (MCP 2026-07-28): that a list changed is no secret where the list is open; each resource named is
 * decided as a subscription of its own. The SDK serves this method without asking the server object, so it is decided here.
 */
export async function answerListen(context: GuardContext, call: GuardedCall, areListsOpen: boolean): Promise<Response> {
  const wanted = call.inbound.params.notifications;
  const problem = await check(context, call, isObject(wanted) ? wanted : {}, areListsOpen);
  if (problem !== null) return refuseRequest(context, call, problem);
  return endWithGuard(await runPlain(context, call), context.closing);
}

async function check(
  context: GuardContext,
  call: GuardedCall,
  wanted: JsonObject,
  areListsOpen: boolean,
): Promise<Refusal | null> {
  const {
    toolsListChanged: _tools,
    promptsListChanged,
    resourcesListChanged,
    resourceSubscriptions,
    ...unknown
  } = wanted;
  if (Object.keys(unknown).length > 0) {
    return refusal('method_not_allowed', `These notifications are not known here: ${Object.keys(unknown).join(', ')}.`);
  }
  if (!areListsOpen && (promptsListChanged === true || resourcesListChanged === true)) {
    return refusal('method_not_allowed', 'The lists of prompts and resources are not open to agents here.');
  }
  if (resourceSubscriptions === undefined) return null;
  if (!Array.isArray(resourceSubscriptions) || resourceSubscriptions.length > SUBSCRIBED_RESOURCES_MAX) {
    return refusal('request_invalid', `Subscribe to at most ${SUBSCRIBED_RESOURCES_MAX} resources at a time.`);
  }
  for (const uri of resourceSubscriptions as JsonValue[]) {
    const params = { uri: typeof uri === 'string' ? uri : '' };
    const decided = await decide(context, {
      ...call,
      inbound: { ...call.inbound, method: 'resources/subscribe', params },
    });
    if (decided.kind === 'refuse') return decided.refusal;
    if (decided.kind !== 'permit') {
      return refusal('step_up_required', 'A subscription cannot be approved; ask for a policy that permits it.');
    }
  }
  return null;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
