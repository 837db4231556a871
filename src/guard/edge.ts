import { classifyInboundRequest, isJsonContentType } from '@modelcontextprotocol/server';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { JSON_BYTES_MAX } from '../kernel/limits.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { parseStrictJson } from '../kernel/strict_json.ts';
import { readBody } from './body.ts';
import { BODY_MS_MAX } from './limits.ts';
import { nameHeaderProblem } from './name_header.ts';

export type RequestId = string | number;
export type Era = '2025' | '2026';

/** One JSON-RPC request or notification as every reader sees it. */
export interface InboundMessage {
  /** Undefined for a notification. */
  readonly id: RequestId | undefined;
  readonly method: string;
  readonly params: JsonObject;
  readonly era: Era;
  /** The whole message, strictly parsed. */
  readonly message: JsonObject;
  /** As received; it means the same as `message` to every reader. */
  readonly text: string;
}

/** An answer before any tool or server was involved. */
export interface EdgeRefusal {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly id: RequestId | null;
}

const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;
/** Of MCP 2026-07-28: a header disagrees with the body. */
const HEADER_MISMATCH = -32020;
const SERVER_ERROR = -32000;

/** Reads and checks the body of a POST. Throws what reading the stream throws. */
export async function readMessage(request: Request): Promise<Result<InboundMessage, EdgeRefusal>> {
  if (!isJsonContentType(request.headers.get('content-type'))) {
    return refuse(415, SERVER_ERROR, 'Send the message as application/json.');
  }
  const bytes = await readBody(request);
  if (bytes === 'late') return refuse(408, SERVER_ERROR, `A message must arrive within ${BODY_MS_MAX / 1000} s.`);
  if (bytes === null) return refuse(413, SERVER_ERROR, `A message may have ${JSON_BYTES_MAX} bytes at most.`);
  const parsed = parseStrictJson(bytes);
  if (!parsed.ok) return refuse(400, PARSE_ERROR, parsed.refusal.message);
  if (Array.isArray(parsed.value)) {
    return refuse(400, INVALID_REQUEST, 'Batches are not accepted: send each message in a request of its own.');
  }
  return checkMessage(request, parsed.value, Buffer.from(bytes).toString('utf8'));
}

function checkMessage(request: Request, value: JsonValue, text: string): Result<InboundMessage, EdgeRefusal> {
  if (!isObject(value) || value.jsonrpc !== '2.0' || typeof value.method !== 'string') {
    return refuse(
      400,
      INVALID_REQUEST,
      'Send one JSON-RPC 2.0 request or notification. Answers are not accepted here.',
    );
  }
  const { id, method, params } = value;
  const isNotification = id === undefined;
  if (!isNotification && typeof id !== 'string' && !Number.isInteger(id)) {
    return refuse(400, INVALID_REQUEST, 'The id of a request must be a string or an integer.');
  }
  if (isNotification !== method.startsWith('notifications/')) {
    return refuse(400, INVALID_REQUEST, 'Requests carry an id, notifications do not.');
  }
  if (params !== undefined && !isObject(params)) return refuse(400, INVALID_REQUEST, 'The params must be an object.');
  const known = isNotification ? null : (id as RequestId);
  // The SDK's own classifier, so that the guard and the handler behind it never see two different requests.
  const outcome = classifyInboundRequest({
    httpMethod: 'POST',
    body: value,
    ...header(request, 'mcp-protocol-version', 'protocolVersionHeader'),
    ...header(request, 'mcp-method', 'mcpMethodHeader'),
    ...header(request, 'mcp-name', 'mcpNameHeader'),
  });
  if (outcome.kind === 'reject') return refuse(outcome.httpStatus, outcome.code, outcome.message, known);
  const era: Era = outcome.kind === 'modern' ? '2026' : '2025';
  const disagreement = headerProblem(request, method, params ?? {}, era === '2026' && !isNotification);
  if (disagreement !== null) return refuse(400, HEADER_MISMATCH, disagreement, known);
  return accepted({ id: known ?? undefined, method, params: params ?? {}, era, message: value, text });
}

/** Where a 2025 client sends the headers of 2026 all the same, they must agree too: something may route by them. */
function headerProblem(request: Request, method: string, params: JsonObject, areRequired: boolean): string | null {
  const methodHeader = request.headers.get('mcp-method')?.trim();
  if (methodHeader === undefined && areRequired) return 'The header Mcp-Method is missing.';
  if (methodHeader !== undefined && methodHeader !== method) {
    return `The body names the method ${method}, the header Mcp-Method another one.`;
  }
  if (areRequired && !request.headers.has('mcp-protocol-version')) return 'The header MCP-Protocol-Version is missing.';
  return nameHeaderProblem(request.headers.get('mcp-name'), method, params, areRequired);
}

function header<Name extends string>(request: Request, from: string, to: Name): Partial<Record<Name, string>> {
  const value = request.headers.get(from);
  return value === null ? {} : ({ [to]: value } as Record<Name, string>);
}

function refuse(
  status: number,
  code: number,
  message: string,
  id: RequestId | null = null,
): Result<never, EdgeRefusal> {
  return refused({ status, code, message, id });
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
