import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { IDEMPOTENCY_META, META_PREFIX } from '../wire/result_meta.ts';
import type { Asked } from './action.ts';
import type { InboundMessage } from './edge.ts';
import type { Redemption } from './redeem.ts';

/** The token, its proof and cookies stay here; so does the session id: behind the guard serving is stateless. */
const HEADERS_PASSED = [
  'accept',
  'content-type',
  'mcp-protocol-version',
  'mcp-method',
  'mcp-name',
  'traceparent',
  'tracestate',
];
const HEADER_PREFIX_PASSED = 'mcp-param-';

/** Members of `_meta` that reach a gated tool. They say how to answer, not what to do; nobody approved the others. */
const META_PASSED: ReadonlySet<string> = new Set([
  'progressToken',
  'traceparent',
  'tracestate',
  'io.modelcontextprotocol/protocolVersion',
  'io.modelcontextprotocol/clientInfo',
  'io.modelcontextprotocol/clientCapabilities',
  'io.modelcontextprotocol/logLevel',
]);

export interface InnerRequest {
  readonly request: Request;
  readonly parsedBody: JsonObject;
}

/** A message that needs no approval, handed on as it came, without what only the guard may say. */
export function plainRequest(inbound: InboundMessage, outer: Request, signal: AbortSignal): InnerRequest {
  const meta = metaOf(inbound.params);
  const isReserved = Object.keys(meta).some((name) => name.startsWith(META_PREFIX));
  if (!isReserved) return build(outer, inbound.message, inbound.text, signal);
  const kept = Object.fromEntries(Object.entries(meta).filter(([name]) => !name.startsWith(META_PREFIX)));
  const message = { ...inbound.message, params: { ...inbound.params, _meta: kept } };
  return build(outer, message, JSON.stringify(message), signal);
}

/**
 * An approved call: only what was approved, in its canonical form, never the bytes that arrived (design §1). `_meta`
 * carries the redemption id as idempotency key.
 */
export function approvedRequest(
  inbound: InboundMessage,
  asked: Asked,
  redemption: Redemption,
  outer: Request,
  signal: AbortSignal,
): InnerRequest {
  const { params } = inbound;
  const meta = Object.fromEntries(Object.entries(metaOf(params)).filter(([name]) => META_PASSED.has(name)));
  const message: JsonObject = {
    jsonrpc: '2.0',
    id: inbound.id,
    method: inbound.method,
    params: {
      ...approvedParams(asked, params),
      ...(params.inputResponses === undefined ? {} : { inputResponses: params.inputResponses }),
      ...(params.requestState === undefined ? {} : { requestState: params.requestState }),
      _meta: { ...meta, [IDEMPOTENCY_META]: redemption.redemptionId },
    },
  };
  const text = canonicalJson(message);
  return build(outer, JSON.parse(text) as JsonObject, text, signal);
}

function approvedParams(asked: Asked, params: JsonObject): JsonObject {
  switch (asked.method) {
    case 'tools/call':
    case 'prompts/get':
      return { name: asked.name, arguments: asked.arguments };
    case 'resources/read':
    case 'resources/subscribe':
      return { uri: asked.name };
    case 'completion/complete': {
      const { ref, argument, context } = params;
      return { ref, argument, context };
    }
  }
}

function build(outer: Request, parsedBody: JsonObject, text: string, signal: AbortSignal): InnerRequest {
  const headers = new Headers();
  for (const [name, value] of outer.headers) {
    if (HEADERS_PASSED.includes(name) || name.startsWith(HEADER_PREFIX_PASSED)) headers.set(name, value);
  }
  return { request: new Request(outer.url, { method: 'POST', headers, body: text, signal }), parsedBody };
}

function metaOf(params: JsonObject): JsonObject {
  const meta: JsonValue | undefined = params._meta;
  return typeof meta === 'object' && meta !== null && !Array.isArray(meta) ? (meta as JsonObject) : {};
}
