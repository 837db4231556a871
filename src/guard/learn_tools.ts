import type { JsonObject, JsonValue } from '../kernel/json.ts';
import type { ToolDefinition } from '../wire/manifest.ts';
import { isEventStream, readBlocks } from './event_stream.ts';
import { LIST_PAGES_MAX, TOOLS_MAX } from './limits.ts';
import type { McpFetch } from './options.ts';

const MODERN_REVISION = '2026-07-28';
const META = {
  'io.modelcontextprotocol/protocolVersion': MODERN_REVISION,
  'io.modelcontextprotocol/clientInfo': { name: 'countersign-guard', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};

/**
 * Lists the tools of a handler by asking it, all pages, in the newest revision that it speaks. No caller is named: a
 * handler that lists by caller needs the `tools` option. Throws when it does not answer with a list.
 */
export async function learnTools(inner: McpFetch, url: string): Promise<readonly ToolDefinition[]> {
  const modern = await list(inner, url, true);
  return modern ?? (await list(inner, url, false)) ?? fail('it does not answer tools/list');
}

/** Null when the handler refuses the revision. */
async function list(inner: McpFetch, url: string, isModern: boolean): Promise<readonly ToolDefinition[] | null> {
  const tools: ToolDefinition[] = [];
  let cursor: JsonValue | undefined;
  for (let page = 0; page < LIST_PAGES_MAX; page += 1) {
    const params = { ...(cursor === undefined ? {} : { cursor }), ...(isModern ? { _meta: META } : {}) };
    const result = await ask(inner, url, { jsonrpc: '2.0', id: page + 1, method: 'tools/list', params }, isModern);
    if (result === null) return page === 0 ? null : fail('it stopped answering in the middle of the list');
    if (!Array.isArray(result.tools)) return fail('its answer has no tools');
    for (const tool of result.tools as JsonValue[]) tools.push(readTool(tool));
    if (tools.length > TOOLS_MAX) return fail(`it has more than ${TOOLS_MAX} tools`);
    cursor = result.nextCursor;
    if (cursor === undefined) return tools;
  }
  return fail(`its list has more than ${LIST_PAGES_MAX} pages`);
}

function readTool(tool: JsonValue): ToolDefinition {
  if (!isObject(tool) || typeof tool.name !== 'string' || !isObject(tool.inputSchema)) {
    return fail('one of its tools has no name or no input schema');
  }
  return tool as ToolDefinition;
}

async function ask(inner: McpFetch, url: string, body: JsonObject, isModern: boolean): Promise<JsonObject | null> {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...(isModern ? { 'mcp-protocol-version': MODERN_REVISION, 'mcp-method': String(body.method) } : {}),
  };
  const request = new Request(url, { method: 'POST', headers, body: JSON.stringify(body) });
  const message = await readMessage(await inner(request, { parsedBody: body }), body.id);
  return isObject(message?.result) ? message.result : null;
}

async function readMessage(response: Response, id: JsonValue | undefined): Promise<JsonObject | undefined> {
  if (response.body === null) return undefined;
  if (!isEventStream(response)) return parse(await response.text());
  for await (const block of readBlocks(response.body)) {
    const message = block.data === null ? undefined : parse(block.data);
    if (message?.id === id) return message;
  }
  return undefined;
}

function parse(text: string): JsonObject | undefined {
  try {
    const value = JSON.parse(text) as JsonValue;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fail(what: string): never {
  throw new Error(`The tools of the protected server cannot be listed: ${what}.`);
}
