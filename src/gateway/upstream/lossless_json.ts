import type { JsonValue } from '../../kernel/json.ts';

interface ReviverContext {
  readonly source?: string;
}

interface RawJson {
  parse(text: string, reviver: (name: string, value: unknown, context: ReviverContext) => unknown): unknown;
  rawJSON(text: string): unknown;
}

// In Node since 22; not yet in the library types of TypeScript.
const rawJson = JSON as unknown as RawJson;

// Long digits, exponents, negative zero: what a double may not hold. A match inside a string only costs time.
const MAY_LOSE = /\d{16}|\d[eE][+-]?\d|-0/;

/**
 * JSON.parse that writes every number again as it was read: 9007199254740993 stays, where JSON.parse makes ...992 of it.
 * Such numbers come back as JSON.rawJSON objects, which only JSON.stringify understands: pass the value on, compute
 * nothing from it. Texts without such numbers are parsed at full speed.
 */
export function parseKeepingNumbers(text: string): JsonValue {
  if (!MAY_LOSE.test(text)) return JSON.parse(text) as JsonValue;
  return rawJson.parse(text, (_name, value, context) => {
    if (typeof value !== 'number' || context.source === undefined || String(value) === context.source) return value;
    return rawJson.rawJSON(context.source);
  }) as JsonValue;
}
