import { canonicalResource } from '../agents/tool_servers.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { amountOf, type BudgetLine, CALLS, ELEVATED_GRANTS, STEP_UPS } from '../model/budget.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { AskedTools, TaskBudget } from '../wire/task_request.ts';

export interface Asked {
  /** Names of tools of the one `resource`, or tools by resource. */
  readonly tools: AskedTools;
  readonly resource?: string | undefined;
  readonly budget?: TaskBudget | undefined;
}

export interface ResolvedAsked {
  readonly tools: ToolSelection;
  readonly budget: readonly BudgetLine[];
}

/** What somebody asked for in words of the wire, by the ids of our records. Whether they may have it is not asked here. */
export async function resolveAsked(store: Store, asked: Asked): Promise<Result<ResolvedAsked, Refusal>> {
  const byResource = toolsByResource(asked);
  if (!byResource.ok) return byResource;
  const servers = await findServers(store, [...byResource.value.keys()]);
  const tools: [string, string[]][] = [];
  for (const [resource, names] of byResource.value) {
    const id = servers.get(resource);
    if (id === undefined) {
      return refused(refusal('request_invalid', `There is no tool server at ${resource.slice(0, 200)}.`));
    }
    tools.push([id, [...names]]);
  }
  const selection = Object.fromEntries(tools);
  const budget = resolveBudget(asked.budget, selection, servers);
  return budget.ok ? accepted({ tools: selection, budget: budget.value }) : budget;
}

/** Of names without a resource, the one that was named beside them. Each in its canonical spelling, if it has one. */
function toolsByResource({ tools, resource }: Asked): Result<Map<string, Set<string>>, Refusal> {
  const found = new Map<string, Set<string>>();
  const add = (of: string, names: readonly string[]) => {
    const key = canonicalResource(of) ?? of;
    found.set(key, new Set([...(found.get(key) ?? []), ...names]));
  };
  for (const one of tools) {
    if (typeof one !== 'string') add(one.resource, one.tools);
    else if (resource !== undefined) add(resource, [one]);
    else {
      return refused(
        refusal('request_invalid', 'Name the resource of the tools: "resource", or {"resource", "tools"} for each.'),
      );
    }
  }
  return accepted(found);
}

async function findServers({ db }: Store, resources: readonly string[]): Promise<Map<string, string>> {
  if (resources.length === 0) return new Map();
  const rows = await db
    .selectFrom('tool_servers')
    .select(['id', 'resource'])
    .where('resource', 'in', resources)
    .execute();
  return new Map(rows.map(({ id, resource }) => [resource, id]));
}

function resolveBudget(
  budget: TaskBudget | undefined,
  tools: ToolSelection,
  servers: ReadonlyMap<string, string>,
): Result<readonly BudgetLine[], Refusal> {
  if (budget === undefined) return accepted([]);
  const lines = new Map<string, string>();
  for (const what of [CALLS, STEP_UPS, ELEVATED_GRANTS] as const) {
    if (budget[what] !== undefined) lines.set(what, String(budget[what]));
  }
  const only = Object.keys(tools).length === 1 ? Object.keys(tools)[0] : undefined;
  for (const { resource, tool, argument, maximum } of budget.amounts ?? []) {
    const id = resource === undefined ? only : servers.get(canonicalResource(resource) ?? resource);
    // A budget over what the task cannot call limits nothing, and whoever wrote it means something else.
    if (id === undefined || !tools[id]?.includes(tool)) {
      const words = `The budget names the tool "${tool.slice(0, 100)}", which is not among those of the task.`;
      return refused(refusal('request_invalid', words));
    }
    const what = amountOf({ toolServerId: id, tool, argument });
    if (lines.has(what)) {
      return refused(refusal('request_invalid', `The budget names ${argument} of "${tool.slice(0, 100)}" twice.`));
    }
    lines.set(what, maximum);
  }
  return accepted([...lines].map(([what, maximum]) => ({ what, maximum })));
}
