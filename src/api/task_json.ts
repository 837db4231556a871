import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { type BudgetLine, countedArgument } from '../model/budget.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { DescribedTask } from '../tasks/describe.ts';

/** A task as agents and machines read it. */
export function taskJson(task: DescribedTask): JsonObject {
  return {
    task_id: task.id,
    root_id: task.root_id,
    parent_id: task.parent_id,
    delegation_id: task.delegationId,
    state: task.stateNow,
    origin: task.origin,
    agent_id: task.agent_id,
    requester_id: task.requester_id,
    purpose: task.purpose,
    purpose_code: task.purpose_code,
    template_id: task.template_id,
    tools: toolsJson(task.tools, task.resources),
    budget: task.budget.length === 0 ? null : budgetJson(task.budget, task.resources),
    created_at: task.created_at.toISOString(),
    expires_at: task.expires_at.toISOString(),
    ended_at: task.ended_at?.toISOString() ?? null,
  };
}

export function toolsJson(tools: ToolSelection, resources: ReadonlyMap<string, string>): JsonObject[] {
  return Object.entries(tools).map(([id, names]) => ({ resource: resources.get(id) ?? id, tools: [...names] }));
}

/** In the form in which budgets are asked for: counts are numbers, amounts decimals in text. With what was used, if it says so. */
export function budgetJson(
  lines: readonly (BudgetLine & { readonly used?: string })[],
  resources: ReadonlyMap<string, string>,
): JsonObject {
  const counts = new Map<string, JsonValue>();
  const amounts: JsonObject[] = [];
  for (const { what, maximum, used } of lines) {
    const counted = countedArgument(what);
    if (counted === undefined) {
      counts.set(what, used === undefined ? Number(maximum) : { maximum: Number(maximum), used: Number(used) });
      continue;
    }
    const { toolServerId, tool, argument } = counted;
    const resource = resources.get(toolServerId) ?? toolServerId;
    amounts.push({ resource, tool, argument, maximum, ...(used === undefined ? {} : { used }) });
  }
  return { ...Object.fromEntries(counts), ...(amounts.length === 0 ? {} : { amounts }) };
}
