import { z } from 'zod';
import { compareDecimals } from '../kernel/decimal.ts';
import { decimal, pointer } from './constraints.ts';
import {
  BUDGET_AMOUNTS_MAX,
  BUDGET_COUNT_MAX,
  PURPOSE_CODE_CHARACTERS_MAX,
  TASK_PURPOSE_CHARACTERS_MAX,
  TASK_TOOL_SERVERS_MAX,
  TASK_TOOLS_MAX,
  TEMPLATE_NAME_CHARACTERS_MAX,
  URL_CHARACTERS_MAX,
} from './limits.ts';

const resource = z.string().min(1).max(URL_CHARACTERS_MAX);
const toolName = z.string().min(1).max(512);
const toolNames = z.array(toolName).min(1).max(TASK_TOOLS_MAX);
const count = z.number().int().min(0).max(BUDGET_COUNT_MAX);

/** Of one tool server, which is named beside them, or of several. */
export const askedTools = z.union([
  toolNames,
  z
    .array(z.strictObject({ resource, tools: toolNames }))
    .min(1)
    .max(TASK_TOOL_SERVERS_MAX),
]);
export type AskedTools = z.infer<typeof askedTools>;

const amount = z.strictObject({
  /** May be left out where the task is for one tool server only. */
  resource: resource.optional(),
  tool: toolName,
  argument: pointer,
  /** All calls together, in whatever unit the argument has. */
  maximum: decimal.refine((value) => compareDecimals(value, '0') >= 0, 'must not be negative'),
});

/** What a task may use up, its sub-tasks included. Its wall time is its `seconds`. */
export const taskBudget = z
  .strictObject({
    /** Messages of the agent that a guard lets through: calls of tools, reads of resources, prompts. */
    calls: count.optional(),
    step_ups: count.optional(),
    elevated_grants: count.optional(),
    amounts: z.array(amount).min(1).max(BUDGET_AMOUNTS_MAX).optional(),
  })
  .refine((budget) => Object.values(budget).some((value) => value !== undefined), 'names nothing to be counted');
export type TaskBudget = z.infer<typeof taskBudget>;

/** Who asks for a task says this of it, in a request of its own or in `authorization_details`. */
export const taskMembers = {
  tools: askedTools.optional(),
  purpose: z.string().max(TASK_PURPOSE_CHARACTERS_MAX).optional(),
  purpose_code: z.string().max(PURPOSE_CODE_CHARACTERS_MAX).optional(),
  /** How long it may last; the server's default if left out. */
  seconds: z.number().int().positive().optional(),
  budget: taskBudget.optional(),
  /** Of a template that was approved in advance, by name or id; then nothing else but a shorter time. */
  template: z.string().min(1).max(TEMPLATE_NAME_CHARACTERS_MAX).optional(),
};

/** RFC 9396: starts a task with the request it comes in (`mcp_task` without a `task_id`). */
export const mcpTaskStart = z.strictObject({ type: z.literal('mcp_task'), ...taskMembers });
export type McpTaskStart = z.infer<typeof mcpTaskStart>;
