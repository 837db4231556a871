import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import type { Logger } from '../kernel/logger.ts';
import type { ToolDefinition } from '../wire/manifest.ts';
import { LIST_PAGES_MAX, TOOLS_MAX } from './limits.ts';
import type { Upstream } from './upstream/connection.ts';
import { isObject } from './upstream/json_rpc_peer.ts';
import { outcomeUnknown } from './upstream/upstream_error.ts';

/** The tools of one upstream as its own JSON, with the canonical text of each by name. */
export interface ToolList {
  readonly tools: readonly ToolDefinition[];
  readonly texts: ReadonlyMap<string, string>;
}

export const NO_TOOLS: ToolList = { tools: [], texts: new Map() };

/** Reads all pages of `tools/list`. A server without tools has none. Throws UpstreamError. */
export async function readTools(upstream: Upstream, log: Logger): Promise<ToolList> {
  if (!isObject(upstream.initializeResult.capabilities.tools)) return NO_TOOLS;
  const raw: JsonValue[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < LIST_PAGES_MAX; page += 1) {
    const result = await upstream.request('tools/list', cursor === undefined ? {} : { cursor });
    const tools = Array.isArray(result.tools) ? (result.tools as readonly JsonValue[]) : [];
    if (raw.length + tools.length > TOOLS_MAX)
      throw outcomeUnknown(`The tool server lists more than ${TOOLS_MAX} tools.`);
    raw.push(...tools);
    if (typeof result.nextCursor !== 'string') return checkedTools(raw, log);
    cursor = result.nextCursor;
  }
  throw outcomeUnknown(`The tool server lists its tools on more than ${LIST_PAGES_MAX} pages.`);
}

/** Keeps the tools that can be pinned: with a name of their own, an input schema, and a canonical form. */
export function checkedTools(raw: readonly JsonValue[], log: Logger): ToolList {
  const names = raw.map((tool) => (isObject(tool) ? tool.name : undefined));
  const tools: ToolDefinition[] = [];
  const texts = new Map<string, string>();
  raw.forEach((tool, index) => {
    const name = names[index];
    const text = isTool(tool) && names.indexOf(name) === names.lastIndexOf(name) ? canonicalText(tool) : undefined;
    if (text === undefined) {
      log.warn(
        { index, name: String(name).slice(0, 100) },
        'Left out a tool: no name of its own, schema or canonical form.',
      );
      return;
    }
    tools.push(tool as ToolDefinition);
    texts.set(name as string, text);
  });
  return { tools, texts };
}

export function isSameToolList(one: ToolList, other: ToolList): boolean {
  return one.texts.size === other.texts.size && [...one.texts].every(([name, text]) => other.texts.get(name) === text);
}

function isTool(tool: JsonValue): tool is ToolDefinition {
  return isObject(tool) && typeof tool.name === 'string' && tool.name !== '' && isObject(tool.inputSchema);
}

function canonicalText(tool: JsonObject): string | undefined {
  try {
    return canonicalJson(tool);
  } catch {
    return undefined;
  }
}
