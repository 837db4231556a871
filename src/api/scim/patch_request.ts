import { z } from 'zod';
import type { JsonValue } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { SCIM_OPERATIONS_MAX } from '../limits.ts';
import { type PatchPath, parsePatchPath } from './patch_path.ts';
import { invalid, type ScimRefusal } from './scim_error.ts';

/** RFC 7644 §3.5.2. Microsoft Entra ID writes "Add" and "Replace", others in lower case. */
export const patchRequestSchema = z.object({
  Operations: z
    .array(
      z.object({
        op: z
          .string()
          .transform((op) => op.toLowerCase())
          .pipe(z.enum(['add', 'replace', 'remove'])),
        path: z.string().max(500).optional(),
        value: z.unknown().optional(),
      }),
    )
    .min(1)
    .max(SCIM_OPERATIONS_MAX),
});

/** One change of one attribute. */
export interface Change {
  readonly op: 'add' | 'replace' | 'remove';
  readonly path: PatchPath;
  /** Undefined where a removal names no value. */
  readonly value: JsonValue | undefined;
}

/**
 * The changes of a request, each with a path of its own: what came without one holds attributes (as Okta writes it), or
 * paths (as Entra does), by name.
 */
export function changesOf(request: z.infer<typeof patchRequestSchema>): Result<readonly Change[], ScimRefusal> {
  const changes: Change[] = [];
  for (const { op, path, value } of request.Operations) {
    const values = path === undefined ? membersOf(value) : accepted([[path, value as JsonValue | undefined] as const]);
    if (!values.ok) return values;
    if (path === undefined && op === 'remove') {
      return refused(invalid('invalidPath', 'An operation that removes something must name its path.'));
    }
    for (const [name, inner] of values.value) {
      const parsed = parsePatchPath(name);
      if (!parsed.ok) return parsed;
      changes.push({ op, path: parsed.value, value: inner });
    }
  }
  return accepted(changes);
}

function membersOf(value: unknown): Result<(readonly [string, JsonValue])[], ScimRefusal> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    // An extension by its schema holds attributes that are not kept here.
    const entries = Object.entries(value as Record<string, JsonValue>).filter(([name]) => !/^urn:.*:User$/i.test(name));
    return accepted(entries.filter(([name]) => name.toLowerCase() !== 'schemas'));
  }
  return refused(invalid('invalidSyntax', 'An operation without a path must have an object as its value.'));
}
