import type { JsonObject } from '../kernel/json.ts';

/** The member of the params that the header Mcp-Name repeats (MCP 2026-07-28, Streamable HTTP). */
const SOURCES: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
};

const SENTINEL = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/;

/** What is wrong between the header Mcp-Name and the body; null if nothing. */
export function nameHeaderProblem(
  headerValue: string | null,
  method: string,
  params: JsonObject,
  isRequired: boolean,
): string | null {
  const source = Object.hasOwn(SOURCES, method) ? SOURCES[method]! : undefined;
  if (source === undefined) return null;
  const value = params[source];
  if (headerValue === null) {
    return isRequired && typeof value === 'string' ? 'The header Mcp-Name is missing.' : null;
  }
  const named = decode(headerValue.trim());
  if (named === null) return 'The header Mcp-Name is not well encoded.';
  return named === value ? null : `The body names another ${source} than the header Mcp-Name.`;
}

function decode(value: string): string | null {
  if (!value.startsWith('=?base64?')) return value;
  const encoded = SENTINEL.exec(value)?.[1];
  if (encoded === undefined) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(encoded, 'base64'));
  } catch {
    return null;
  }
}
