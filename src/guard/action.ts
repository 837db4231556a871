import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { caseFoldedDuplicate } from '../kernel/strict_json.ts';
import { actionDigest } from '../wire/action_digest.ts';
import type { EvaluateRequest } from '../wire/guard_api.ts';
import type { ToolDefinition } from '../wire/manifest.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { undeclaredArguments } from '../wire/undeclared_arguments.ts';
import type { InboundMessage } from './edge.ts';
import { GATED_ARGUMENT_BYTES_MAX } from './limits.ts';

export type WireAction = EvaluateRequest['action'];

/** What a message asks for, out of its params. */
export interface Asked {
  readonly method: WireAction['method'];
  readonly name: string;
  readonly arguments: JsonObject;
  readonly inputResponses: JsonValue;
}

export function readAsked(inbound: InboundMessage): Result<Asked, Refusal> {
  const { params } = inbound;
  const method = inbound.method as Asked['method'];
  const name = nameOf(method, params);
  const args = argumentsOf(method, params);
  if (typeof name !== 'string' || name === '' || args === undefined) {
    return refused(refusal('request_invalid', `The params of ${method} do not say what it is about.`));
  }
  return accepted({ method, name, arguments: args, inputResponses: inputResponsesOf(params) });
}

function nameOf(method: Asked['method'], params: JsonObject): JsonValue | undefined {
  if (method === 'tools/call' || method === 'prompts/get') return params.name;
  if (method !== 'completion/complete') return params.uri;
  return isObject(params.ref) ? (params.ref.name ?? params.ref.uri) : undefined;
}

function argumentsOf(method: Asked['method'], params: JsonObject): JsonObject | undefined {
  switch (method) {
    case 'tools/call':
    case 'prompts/get':
      if (params.arguments === undefined) return {};
      return isObject(params.arguments) ? params.arguments : undefined;
    case 'completion/complete': {
      const { ref, argument, context } = params;
      return { ref: ref ?? null, argument: argument ?? null, ...(context === undefined ? {} : { context }) };
    }
    case 'resources/read':
    case 'resources/subscribe':
      return {};
  }
}

// MCP 2026-07-28, multi round-trip requests: both come from the client and change what the tool does.
function inputResponsesOf(params: JsonObject): JsonValue {
  const { inputResponses, requestState } = params;
  if (inputResponses === undefined && requestState === undefined) return null;
  return { input_responses: inputResponses ?? null, request_state: requestState ?? null };
}

export interface ActionContext {
  readonly issuer: string;
  readonly resource: string;
  readonly deployment: string;
}

export function wireAction(
  context: ActionContext,
  asked: Asked,
  manifestDigest: string | null,
  facts: JsonObject,
): WireAction {
  const said = {
    method: asked.method,
    name: asked.name,
    arguments: asked.arguments,
    input_responses: asked.inputResponses,
    facts,
  };
  const digest = actionDigest({ ...context, ...said, manifest_digest: manifestDigest });
  return { ...said, manifest_digest: manifestDigest, action_digest: digest };
}

/** What only gated calls must keep, since a person reviews them (design §3, strict input). */
export function checkGated(asked: Asked, tool: ToolDefinition | undefined): Refusal | null {
  const bytes = Buffer.byteLength(canonicalJson(asked.arguments));
  if (bytes > GATED_ARGUMENT_BYTES_MAX) {
    return refusal('arguments_too_large', `This call needs approval, and its arguments have ${bytes} bytes.`);
  }
  const twin = caseFoldedDuplicate(asked.arguments);
  if (twin !== null) {
    return refusal('json_invalid', `This call needs approval, and ${twin} has a twin that is equal but for case.`);
  }
  if (tool === undefined) return null;
  const undeclared = undeclaredArguments(tool.inputSchema, asked.arguments);
  if (undeclared.length === 0) return null;
  return refusal(
    'arguments_undeclared',
    `This call needs approval, and the schema of ${asked.name} does not declare: ${undeclared.slice(0, 5).join(', ')}.`,
  );
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
