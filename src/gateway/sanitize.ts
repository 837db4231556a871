import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { AUTHORIZATION_DENIAL_KEY } from '../wire/authorization_denial_sep_2643.ts';
import { META_PREFIX } from '../wire/result_meta.ts';
import { ERROR_MESSAGE_CHARACTERS_MAX, MESSAGE_DEPTH_MAX } from './limits.ts';
import { isObject } from './upstream/json_rpc_peer.ts';
import { UpstreamError, unusableAnswer } from './upstream/upstream_error.ts';

const URL_ELICITATION_REQUIRED_CODE = -32042;
const INTERNAL_ERROR_CODE = -32603;

/** Keys of `_meta` that only the guard and the gateway may set: from an upstream they would be fake approval links. */
function isReservedMetaKey(key: string): boolean {
  return key === AUTHORIZATION_DENIAL_KEY || key.startsWith(META_PREFIX);
}

/**
 * The result of an upstream without what a client would take for ours. Works in place: the result was parsed for this
 * call alone. `structuredContent` is the tool's own data and stays as it is.
 */
export function sanitizeResult(result: JsonObject): JsonObject {
  // A 2025 server has no such results; a 2026 client would open the link or start polling a task.
  if (result.resultType !== undefined && result.resultType !== 'complete') {
    throw unusableAnswer(
      'The tool server asked for input or for patience instead of answering. The gateway does not pass that on.',
    );
  }
  const mutable = result as Record<string, JsonValue | undefined>;
  delete mutable.resultType;
  delete mutable.inputRequests;
  delete mutable.requestState;
  stripMeta(result, 0);
  return result;
}

/** The params of an upstream's notification without what a client would take for ours. Throws when nested too deep. */
export function sanitizeParams(params: JsonObject): JsonObject {
  stripMeta(params, 0);
  return params;
}

/** The error of an upstream without links that a client would open. Errors of our own pass unchanged. */
export function sanitizeError(error: UpstreamError): UpstreamError {
  if (error.failure !== 'answered') return error;
  if (error.code === URL_ELICITATION_REQUIRED_CODE) {
    return new UpstreamError(
      'answered',
      INTERNAL_ERROR_CODE,
      'The tool server wants a person to open a link. The gateway does not pass links of tool servers on: ' +
        'its operator must sign the server in by other means.',
    );
  }
  const message = error.message.slice(0, ERROR_MESSAGE_CHARACTERS_MAX);
  if (error.data === undefined) return new UpstreamError('answered', error.code, message);
  stripMeta(error.data, 0);
  if (isObject(error.data)) deleteReserved(error.data);
  return new UpstreamError('answered', error.code, message, error.data);
}

function stripMeta(value: JsonValue | undefined, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  refuseBelow(depth);
  if (Array.isArray(value)) {
    for (const item of value) stripMeta(item, depth + 1);
    return;
  }
  for (const [name, member] of Object.entries(value as JsonObject)) {
    if (name === '_meta' && isObject(member)) deleteReserved(member);
    if (name !== 'structuredContent' || depth > 0) stripMeta(member, depth + 1);
    else assertDepth(member, depth + 1);
  }
}

function assertDepth(value: JsonValue | undefined, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  refuseBelow(depth);
  for (const member of Object.values(value)) assertDepth(member as JsonValue | undefined, depth + 1);
}

// JSON.stringify overflows the stack at some thousand levels, and then the client would wait for ever.
function refuseBelow(depth: number): void {
  if (depth <= MESSAGE_DEPTH_MAX) return;
  throw unusableAnswer(
    `The tool server answered, but nested deeper than ${MESSAGE_DEPTH_MAX}. Its answer is not passed on.`,
  );
}

function deleteReserved(object: JsonObject): void {
  for (const key of Object.keys(object)) {
    if (isReservedMetaKey(key)) delete (object as Record<string, JsonValue | undefined>)[key];
  }
}
