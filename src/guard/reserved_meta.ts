import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { AUTHORIZATION_DENIAL_KEY } from '../wire/authorization_denial_sep_2643.ts';
import { META_PREFIX } from '../wire/result_meta.ts';

/**
 * A tool's message without the `_meta` that only the guard sets: from a tool it would be a fake approval link, or a fake
 * record of what ran. Messages that cannot hold any pass unparsed.
 */
export function withoutReservedMeta(text: string): string {
  // A backslash may hide a character of the name.
  if (!text.includes(META_PREFIX) && !text.includes(AUTHORIZATION_DENIAL_KEY) && !/\\[u/]/.test(text)) return text;
  let message: JsonValue;
  try {
    message = JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
  if (!isObject(message)) return text;
  const cleaned: JsonObject = {
    ...message,
    ...(isObject(message.result) ? { result: cleanMeta(message.result) } : {}),
    ...(isObject(message.error) && isObject(message.error.data)
      ? { error: { ...message.error, data: cleanMeta(withoutReserved(message.error.data)) } }
      : {}),
  };
  const rewritten = JSON.stringify(cleaned);
  return rewritten === JSON.stringify(message) ? text : rewritten;
}

function cleanMeta(holder: JsonObject): JsonObject {
  return isObject(holder._meta) ? { ...holder, _meta: withoutReserved(holder._meta) } : holder;
}

function withoutReserved(meta: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(meta).filter(([name]) => !isReserved(name)));
}

function isReserved(name: string): boolean {
  return name.startsWith(META_PREFIX) || name === AUTHORIZATION_DENIAL_KEY;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
