import type { JsonObject } from '../kernel/json.ts';

/** The title a tool gives itself (MCP `title`, or `annotations.title`), for display as untrusted text. */
export function toolTitle(definition: JsonObject): string | null {
  if (typeof definition.title === 'string') return definition.title;
  const annotations = definition.annotations;
  if (typeof annotations === 'object' && annotations !== null && !Array.isArray(annotations)) {
    const title = (annotations as JsonObject).title;
    if (typeof title === 'string') return title;
  }
  return null;
}

/** The argument names in the order the tool's schema declares them, which is the order its author finds readable. */
export function argumentNames(definition: JsonObject): string[] {
  const { inputSchema } = definition;
  if (typeof inputSchema !== 'object' || inputSchema === null || Array.isArray(inputSchema)) return [];
  const { properties } = inputSchema as JsonObject;
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
}

export function toolDescription(definition: JsonObject): string {
  return typeof definition.description === 'string' ? definition.description : '';
}
