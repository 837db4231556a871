import { z } from 'zod';
import { compareDecimals, isDecimal } from '../kernel/decimal.ts';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { CONSTRAINT_VALUES_MAX, CONSTRAINTS_MAX, POINTER_CHARACTERS_MAX } from './limits.ts';

const scalar = z.union([z.string().max(1024), z.number().finite(), z.boolean()]);
export const decimal = z.string().max(64).refine(isDecimal, 'not a decimal such as "250.00"');
export const pointer = z
  .string()
  .max(POINTER_CHARACTERS_MAX)
  .regex(/^(\/([^~/]|~[01])*)+$/, 'not a JSON pointer (RFC 6901) such as "/amount"');

/**
 * What an argument of a tool must be like for a delegation to carry the call. A hop adds to those of the hops above it, and
 * all of them must hold, so that adding one can only narrow. Nothing is normalized: what is not of the expected form fails.
 */
export const toolConstraint = z.strictObject({
  tool: z.string().min(1).max(512),
  argument: pointer,
  must: z.discriminatedUnion('be', [
    z.strictObject({ be: z.literal('one_of'), values: z.array(scalar).min(1).max(CONSTRAINT_VALUES_MAX) }),
    z.strictObject({ be: z.literal('at_most'), maximum: decimal }),
    z.strictObject({ be: z.literal('at_least'), minimum: decimal }),
    z.strictObject({ be: z.literal('absent') }),
  ]),
});
export type ToolConstraint = z.infer<typeof toolConstraint>;

/** Of one delegation: of which tool server each is, beside what must hold. */
export const boundConstraint = toolConstraint.extend({ tool_server_id: z.string().min(1).max(64) });
export type BoundConstraint = z.infer<typeof boundConstraint>;

export const toolConstraints = z.array(toolConstraint).max(CONSTRAINTS_MAX);

/** The first constraint that these arguments of this tool do not meet; undefined when all hold. */
export function unmetConstraint(
  constraints: readonly BoundConstraint[],
  call: { readonly toolServerId: string; readonly tool: string; readonly arguments: JsonObject },
): BoundConstraint | undefined {
  return constraints.find(
    (constraint) =>
      constraint.tool_server_id === call.toolServerId &&
      constraint.tool === call.tool &&
      !holds(constraint.must, valueAt(call.arguments, constraint.argument)),
  );
}

/** In words that follow "is". */
export function describeConstraint({ must }: ToolConstraint): string {
  switch (must.be) {
    case 'absent':
      return 'left out';
    case 'one_of':
      return `one of ${must.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'at_most':
      return `at most ${must.maximum}`;
    case 'at_least':
      return `at least ${must.minimum}`;
  }
}

function holds(must: ToolConstraint['must'], value: JsonValue | undefined): boolean {
  switch (must.be) {
    case 'absent':
      return value === undefined;
    case 'one_of':
      return must.values.some((allowed) => allowed === value);
    case 'at_most':
      return isAmount(value) && compareDecimals(String(value), must.maximum) <= 0;
    case 'at_least':
      return isAmount(value) && compareDecimals(String(value), must.minimum) >= 0;
  }
}

/** A number, or a string that is one: `"250.00"`. Negative amounts meet nothing (design-review 23). */
export function isAmount(value: JsonValue | undefined): value is string | number {
  if (typeof value !== 'number' && typeof value !== 'string') return false;
  return isDecimal(String(value)) && compareDecimals(String(value), '0') >= 0;
}

/** The value at an RFC 6901 pointer; undefined where there is none. Own members only. */
export function valueAt(root: JsonValue, path: string): JsonValue | undefined {
  let at: JsonValue | undefined = root;
  for (const step of path.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(at)) at = /^(0|[1-9]\d{0,8})$/.test(name) ? at[Number(name)] : undefined;
    else if (typeof at === 'object' && at !== null) at = Object.hasOwn(at, name) ? (at as JsonObject)[name] : undefined;
    else return undefined;
  }
  return at;
}
