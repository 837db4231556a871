import type { ToolSelection } from '../store/postgres/tables.ts';

/** What is in `tools` and in every one of `bounds`; null bounds nothing. A server that has no tool left is left out. */
export function narrowest(tools: ToolSelection, bounds: readonly (ToolSelection | null)[]): ToolSelection {
  let left = tools;
  for (const bound of bounds) if (bound !== null) left = intersection(left, bound);
  return left;
}

function intersection(tools: ToolSelection, bound: ToolSelection): ToolSelection {
  return Object.fromEntries(
    Object.entries(tools).flatMap(([server, names]) => {
      const allowed = Object.hasOwn(bound, server) ? new Set(bound[server]) : new Set<string>();
      const both = names.filter((name) => allowed.has(name));
      return both.length === 0 ? [] : [[server, both] as const];
    }),
  );
}

/** The first tool of `tools` that is not in `bound`; undefined if all are. */
export function outside(tools: ToolSelection, bound: ToolSelection): { server: string; tool: string } | undefined {
  for (const [server, names] of Object.entries(tools)) {
    const allowed = Object.hasOwn(bound, server) ? new Set(bound[server]) : new Set<string>();
    const tool = names.find((name) => !allowed.has(name));
    if (tool !== undefined) return { server, tool };
  }
  return undefined;
}
