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

export function toolDescription(definition: JsonObject): string {
  return typeof definition.description === 'string' ? definition.description : '';
}
