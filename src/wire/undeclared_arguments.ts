import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { jsonPointer } from '../kernel/json_pointer.ts';

/**
 * JSON pointers of the names in `args` that a tool's pinned schema does not declare. A server may act on a name that
 * nobody reviewed, so silence is not permission: an object is open only where `additionalProperties` says so, whatever
 * JSON Schema takes as its default. All branches of anyOf, oneOf and allOf declare together. Constructs not known here
 * (remote references, patternProperties, if/then/else) declare nothing.
 */
export function undeclaredArguments(schema: JsonObject, args: JsonObject): string[] {
  const found: string[] = [];
  walk(args, [schema], [], { root: schema, found });
  return found;
}

type Path = readonly (string | number)[];

interface Walk {
  readonly root: JsonObject;
  readonly found: string[];
}

function walk(value: JsonValue | undefined, schemas: readonly JsonValue[], path: Path, context: Walk): void {
  if (typeof value !== 'object' || value === null) return;
  const applicable = expand(schemas, context.root);
  if (Array.isArray(value)) {
    value.forEach((item, index) => {
      walk(item, itemSchemas(applicable, index), [...path, index], context);
    });
    return;
  }
  for (const [name, member] of Object.entries(value)) {
    const declared = memberSchemas(applicable, name);
    if (declared === 'open') continue;
    if (declared.length === 0) context.found.push(jsonPointer([...path, name]));
    else walk(member, declared, [...path, name], context);
  }
}

/** The schemas that say something of one value: the given ones and, through references and combinations, theirs. */
function expand(schemas: readonly JsonValue[], root: JsonObject): JsonObject[] {
  const seen = new Set<JsonObject>();
  const waiting = [...schemas];
  while (waiting.length > 0) {
    const schema = waiting.pop();
    if (!isObject(schema) || seen.has(schema)) continue;
    seen.add(schema);
    if (typeof schema.$ref === 'string') waiting.push(resolve(schema.$ref, root));
    for (const branches of [own(schema, 'anyOf'), own(schema, 'oneOf'), own(schema, 'allOf')]) {
      if (Array.isArray(branches)) waiting.push(...branches);
    }
  }
  return [...seen];
}

/** What a `$ref` within the document points to; null, which declares nothing, for every other kind. */
function resolve(reference: string, root: JsonObject): JsonValue {
  if (reference !== '#' && !reference.startsWith('#/')) return null;
  let target: JsonValue | undefined = root;
  for (const part of reference.split('/').slice(1)) {
    const name = decode(part)?.replaceAll('~1', '/').replaceAll('~0', '~');
    if (name === undefined || typeof target !== 'object' || target === null) return null;
    target = own(target as JsonObject, name);
  }
  return target ?? null;
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function memberSchemas(schemas: readonly JsonObject[], name: string): readonly JsonValue[] | 'open' {
  const declared: JsonValue[] = [];
  for (const schema of schemas) {
    const properties = own(schema, 'properties');
    const property = isObject(properties) ? own(properties, name) : undefined;
    const additional = own(schema, 'additionalProperties');
    if (property !== undefined) declared.push(property);
    else if (isOpen(additional)) return 'open';
    else if (isObject(additional)) declared.push(additional);
  }
  return declared.filter((schema) => schema !== false);
}

// `additionalProperties: true` or `{}` is the owner saying that anything goes, also further inside.
function isOpen(additional: JsonValue | undefined): boolean {
  return additional === true || (isObject(additional) && Object.keys(additional).length === 0);
}

function itemSchemas(schemas: readonly JsonObject[], index: number): JsonValue[] {
  return schemas.flatMap((schema) => {
    const prefix = own(schema, 'prefixItems');
    const item = Array.isArray(prefix) && index < prefix.length ? prefix[index] : own(schema, 'items');
    return item === undefined ? [] : [item as JsonValue];
  });
}

function own(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
