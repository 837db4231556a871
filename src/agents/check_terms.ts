import { accepted, type Result, refused } from '../kernel/result.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { addedTools, type SomeTerms } from './terms.ts';

/**
 * What terms name must exist, as far as it is new: a tool that is listed later under a name of the bound would be the agent's
 * from that moment on. `before` holds what the agent has already, of which some may be gone.
 */
export async function checkTerms(
  tx: Tx,
  terms: SomeTerms,
  before: { readonly bound: ToolSelection | null },
  now: Date,
): Promise<Result<true, Refusal>> {
  const { ends_at: endsAt, bound } = terms;
  if (endsAt !== undefined && endsAt !== null && Date.parse(endsAt) <= now.getTime()) {
    return refused(
      refusal('request_invalid', 'The end of an agent must be in the future. To end it now, offboard it.'),
    );
  }
  if (bound === undefined) return accepted(true);
  const added = Object.entries(addedTools(before.bound ?? {}, bound));
  if (added.length === 0) return accepted(true);
  const known = await tx
    .selectFrom('tools')
    .innerJoin('tool_servers', 'tool_servers.id', 'tools.tool_server_id')
    .select(['tools.tool_server_id', 'tools.name'])
    .where(
      'tools.tool_server_id',
      'in',
      added.map(([id]) => id),
    )
    .where('tools.state', '!=', 'removed')
    .where('tool_servers.state', '!=', 'rejected')
    .execute();
  for (const [id, names] of added) {
    const listed = new Set(known.filter((tool) => tool.tool_server_id === id).map((tool) => tool.name));
    if (listed.size === 0)
      return refused(refusal('request_invalid', `There is no tool server with tools and the id "${id}".`));
    const missing = names.find((name) => !listed.has(name));
    if (missing !== undefined) {
      return refused(refusal('request_invalid', `The tool server "${id}" lists no tool "${missing}".`));
    }
  }
  return accepted(true);
}

export function keyDaysWithoutKeys(): Refusal {
  return refusal(
    'request_invalid',
    'A deadline for changing keys needs keys that are listed here. This agent proves who it is in another way.',
  );
}
