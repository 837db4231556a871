import type { JsonValue } from './json.ts';
import { CANONICAL_JSON_DEPTH_MAX } from './limits.ts';

/**
 * The one text of a value by RFC 8785 (JCS). Members that are undefined are left out, as JSON.stringify does.
 * Throws TypeError for what has no canonical form: lone surrogates, non-finite numbers, holes, and objects that are not
 * plain (a Date or a Map would silently become something else). Input from outside has passed `parseStrictJson` before.
 */
export function canonicalJson(value: JsonValue): string {
  return write(value, 0);
}

function write(value: JsonValue | undefined, depth: number): string {
  switch (typeof value) {
    case 'string':
      return writeString(value);
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`${value} has no JSON form.`);
      // RFC 8785 §3.2.2.3 is ECMAScript's own algorithm; -0 becomes 0.
      return String(value === 0 ? 0 : value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      if (depth >= CANONICAL_JSON_DEPTH_MAX) {
        throw new TypeError(`The value is nested deeper than ${CANONICAL_JSON_DEPTH_MAX}.`);
      }
      return Array.isArray(value) ? writeArray(value, depth) : writeObject(value as PlainObject, depth);
    default:
      throw new TypeError(`A value of type ${typeof value} has no JSON form.`);
  }
}

type PlainObject = Readonly<Record<string, JsonValue | undefined>>;

// Indexed, since map() would skip the holes of a sparse array.
function writeArray(array: readonly JsonValue[], depth: number): string {
  let text = '[';
  for (let index = 0; index < array.length; index += 1) {
    text += (index === 0 ? '' : ',') + write(array[index], depth + 1);
  }
  return `${text}]`;
}

function writeObject(object: PlainObject, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) throw new TypeError('Only plain objects have a JSON form.');
  let text = '{';
  // The default order of sort() is by UTF-16 code units, as RFC 8785 §3.2.3 asks.
  for (const name of Object.keys(object).sort()) {
    const member = object[name];
    if (member === undefined) continue;
    text += `${(text === '{' ? '' : ',') + writeString(name)}:${write(member, depth + 1)}`;
  }
  return `${text}}`;
}

// JSON.stringify escapes just what RFC 8785 §3.2.2.2 does, except that it writes lone surrogates as \udxxx.
function writeString(text: string): string {
  if (!text.isWellFormed()) throw new TypeError('A string with a lone surrogate has no canonical form.');
  return JSON.stringify(text);
}
