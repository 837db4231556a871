import type { CedarValueJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { jsonPointer } from '../kernel/json_pointer.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type ArgumentType, isObject, RESERVED_NAMES, type RecordType } from './argument_type.ts';
import { ARGUMENTS_DEPTH_MAX, DECIMAL_ABSOLUTE_MAX, DECIMAL_FRACTION_DIGITS } from './limits.ts';

export type CedarRecord = Record<string, CedarValueJson>;

export interface ArgumentProblem {
  readonly pointer: string;
  readonly message: string;
}

type Path = readonly (string | number)[];

/**
 * What policies see of the arguments of a call, as `context.input`: the declared ones, in the types of the schema. What
 * they could not read exactly is refused, not bent.
 */
export function projectOnto(type: RecordType, args: JsonObject): Result<CedarRecord, ArgumentProblem> {
  const reserved = findReserved(args, []);
  return reserved === undefined ? projectRecord(type, args, []) : refused(reserved);
}

function projectRecord(type: RecordType, value: JsonObject, path: Path): Result<CedarRecord, ArgumentProblem> {
  const record: CedarRecord = {};
  for (const [name, member] of Object.entries(value)) {
    const at = [...path, name];
    const memberType = type.attributes.get(name);
    if (memberType === undefined || memberType.kind === 'opaque') continue;
    // Null is absence here: Cedar has no such value, and `has` answers for both.
    if (member === undefined || member === null) continue;
    const projected = projectValue(memberType, member, at);
    if (!projected.ok) return projected;
    record[name] = projected.value;
  }
  return accepted(record);
}

function projectValue(type: ArgumentType, value: JsonValue, path: Path): Result<CedarValueJson, ArgumentProblem> {
  switch (type.kind) {
    case 'string':
      return typeof value === 'string' ? accepted(value) : mismatch(path, 'a string');
    case 'boolean':
      return typeof value === 'boolean' ? accepted(value) : mismatch(path, 'true or false');
    case 'long':
      return Number.isSafeInteger(value) ? accepted(Number(value) + 0) : mismatch(path, 'a whole number');
    case 'decimal':
      return typeof value === 'number' ? decimal(value, path) : mismatch(path, 'a number');
    case 'set':
      return Array.isArray(value) ? projectSet(type.element, value, path) : mismatch(path, 'a list');
    case 'record':
      return isObject(value) ? projectRecord(type, value, path) : mismatch(path, 'an object');
    case 'opaque':
      throw new TypeError('An opaque argument has no Cedar value.');
  }
}

function projectSet(
  element: ArgumentType,
  values: readonly JsonValue[],
  path: Path,
): Result<CedarValueJson, ArgumentProblem> {
  const set: CedarValueJson[] = [];
  for (const [index, value] of values.entries()) {
    const projected = projectValue(element, value, [...path, index]);
    if (!projected.ok) return projected;
    set.push(projected.value);
  }
  return accepted(set);
}

function decimal(value: number, path: Path): Result<CedarValueJson, ArgumentProblem> {
  const text = value.toFixed(DECIMAL_FRACTION_DIGITS);
  if (Math.abs(value) > DECIMAL_ABSOLUTE_MAX || Number(text) !== value) {
    const pointer = jsonPointer(path);
    const message = `Policies read "${pointer}" as a decimal of four fractional digits, and this value does not fit.`;
    return refused({ pointer, message });
  }
  return accepted({ __extn: { fn: 'decimal', arg: value === 0 ? '0.0' : text } });
}

function mismatch(path: Path, expected: string): Result<never, ArgumentProblem> {
  const pointer = jsonPointer(path);
  return refused({ pointer, message: `The schema of the tool declares "${pointer}" as ${expected}.` });
}

function findReserved(value: JsonValue | undefined, path: Path): ArgumentProblem | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (path.length > ARGUMENTS_DEPTH_MAX) {
    return { pointer: jsonPointer(path), message: `The arguments are nested deeper than ${ARGUMENTS_DEPTH_MAX}.` };
  }
  const members: Iterable<[string | number, JsonValue | undefined]> = Array.isArray(value)
    ? value.entries()
    : Object.entries(value);
  for (const [name, member] of members) {
    const at = [...path, name];
    if (RESERVED_NAMES.includes(String(name))) {
      const pointer = jsonPointer(at);
      return { pointer, message: `The name at "${pointer}" is reserved: a policy engine would take it for its own.` };
    }
    const found = findReserved(member, at);
    if (found !== undefined) return found;
  }
  return undefined;
}
