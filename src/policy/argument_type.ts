import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { SCHEMA_RECORD_DEPTH_MAX, SCHEMA_REFERENCES_MAX } from './limits.ts';

/** A tool argument as Cedar can see it. */
export type ArgumentType =
  | { readonly kind: 'string' | 'long' | 'decimal' | 'boolean' }
  | { readonly kind: 'set'; readonly element: ArgumentType }
  | RecordType
  | { readonly kind: 'opaque'; readonly why: string };

export interface RecordType {
  readonly kind: 'record';
  readonly attributes: ReadonlyMap<string, ArgumentType>;
}

/** Member names that Cedar's JSON would take for a value of its own, or JavaScript for a prototype. */
export const RESERVED_NAMES: readonly string[] = ['__entity', '__extn', '__expr', '__proto__'];

/** Reads the type of an argument from its JSON Schema. What Cedar has no type for is opaque: policies cannot see it. */
export function argumentType(schema: JsonValue | undefined, root: JsonObject, depth = 0): ArgumentType {
  const resolved = dereference(schema, root);
  if (!isObject(resolved)) return opaque('its schema allows anything, or refers to something that is not there');
  if (depth > SCHEMA_RECORD_DEPTH_MAX) return opaque(`it is nested deeper than ${SCHEMA_RECORD_DEPTH_MAX} records`);
  if (resolved.allOf !== undefined) return opaque('its schema is put together with allOf');
  const alternatives = resolved.anyOf ?? resolved.oneOf;
  if (Array.isArray(alternatives)) return sameType(alternatives.filter(isNotNull), root, depth);
  switch (typeName(resolved)) {
    case 'string':
      return { kind: 'string' };
    case 'integer':
      return { kind: 'long' };
    case 'number':
      return { kind: 'decimal' };
    case 'boolean':
      return { kind: 'boolean' };
    case 'array':
      return setType(resolved, root, depth);
    case 'object':
      return recordType(resolved, root, depth);
    default:
      return opaque('its schema names no type, or several');
  }
}

export function recordType(schema: JsonObject, root: JsonObject, depth: number): ArgumentType {
  if (!isObject(schema.properties)) return opaque('its schema names no properties');
  const attributes = new Map<string, ArgumentType>();
  for (const [name, property] of Object.entries(schema.properties)) {
    const isReserved = RESERVED_NAMES.includes(name);
    attributes.set(name, isReserved ? opaque('its name is reserved') : argumentType(property, root, depth + 1));
  }
  return { kind: 'record', attributes };
}

/** A text that is equal for equal types, opaque members left out as they are in the Cedar schema. */
export function typeFingerprint(type: ArgumentType): string {
  if (type.kind === 'set') return `set<${typeFingerprint(type.element)}>`;
  if (type.kind !== 'record') return type.kind;
  const visible = [...type.attributes].filter(([, member]) => member.kind !== 'opaque');
  visible.sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(visible.map(([name, member]) => [name, typeFingerprint(member)]));
}

export function opaque(why: string): ArgumentType {
  return { kind: 'opaque', why };
}

function setType(schema: JsonObject, root: JsonObject, depth: number): ArgumentType {
  const element = argumentType(schema.items, root, depth + 1);
  const isScalar = element.kind !== 'set' && element.kind !== 'record' && element.kind !== 'opaque';
  return isScalar ? { kind: 'set', element } : opaque('it is a list of something other than plain values');
}

function sameType(alternatives: readonly JsonValue[], root: JsonObject, depth: number): ArgumentType {
  const types = alternatives.map((alternative) => argumentType(alternative, root, depth + 1));
  const [first, ...others] = types;
  // Two records may agree in what policies see and still differ in what else they allow.
  if (first === undefined || (first.kind === 'record' && others.length > 0)) {
    return opaque('its schema offers alternatives');
  }
  const isSame = types.every((type) => typeFingerprint(type) === typeFingerprint(first));
  return isSame ? first : opaque('its schema offers alternatives of different types');
}

function typeName(schema: JsonObject): string | undefined {
  if (schema.type !== undefined) {
    const names = (Array.isArray(schema.type) ? schema.type : [schema.type]).filter((name) => name !== 'null');
    return names.length === 1 && typeof names[0] === 'string' ? names[0] : undefined;
  }
  const values = Array.isArray(schema.enum) ? schema.enum : schema.const === undefined ? [] : [schema.const];
  return values.length > 0 && values.every((value) => typeof value === 'string') ? 'string' : undefined;
}

function dereference(schema: JsonValue | undefined, root: JsonObject): JsonValue | undefined {
  let current = schema;
  for (let step = 0; isObject(current) && typeof current.$ref === 'string'; step += 1) {
    if (step >= SCHEMA_REFERENCES_MAX || !/^#(?:\/|$)/.test(current.$ref)) return undefined;
    const path = current.$ref.split('/').slice(1);
    current = path.reduce<JsonValue | undefined>(
      (node, part) => (isObject(node) ? member(node, part.replaceAll('~1', '/').replaceAll('~0', '~')) : undefined),
      root,
    );
  }
  return current;
}

function member(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isNotNull(schema: JsonValue): boolean {
  return !(isObject(schema) && schema.type === 'null');
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
