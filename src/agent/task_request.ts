import { z } from 'zod';

/** What a task may use up, its sub-tasks included. */
export interface TaskBudget {
  readonly calls?: number;
  readonly stepUps?: number;
  readonly elevatedGrants?: number;
  /** Sums over a named argument, as decimals: at most "500.00" over `/amount` of `refund`. */
  readonly amounts?: readonly {
    readonly resource?: string;
    readonly tool: string;
    readonly argument: string;
    readonly maximum: string;
  }[];
}

export interface TaskRequest {
  /** The tool server, or the agent, by its address. Left out where `tools` names several. */
  readonly resource?: string;
  /** The names of the tools that the task may use, there or by address. Ask for what it needs: approvers see the task. */
  readonly tools: readonly string[] | readonly { readonly resource: string; readonly tools: readonly string[] }[];
  /** What for, in words a person understands. Shown, never decided by. */
  readonly purpose: string;
  /** One of the codes the administrator defined; policy sees it. */
  readonly purposeCode?: string;
  /** How long at most. Default: the server's. */
  readonly seconds?: number;
  readonly budget?: TaskBudget;
}

/** A task as somebody approved it in advance, for work that comes again. */
export interface TemplateRequest {
  /** Its name or its id. */
  readonly template: string;
  /** Shorter than the template says. */
  readonly seconds?: number;
}

export interface SubTaskRequest extends Omit<TaskRequest, 'purposeCode'> {
  /** The hop that this agent was handed; left out for the one that begins the parent task. */
  readonly delegationId?: string;
}

export interface StartedTask {
  readonly taskId: string;
  readonly expiresAt: Date;
}

export const startedSchema = z.object({
  task_id: z.string(),
  delegation_id: z.string().optional(),
  expires_at: z.string(),
});

/** The request as it is sent; members that are undefined are left out by JSON. */
export function taskBody(request: TaskRequest | TemplateRequest | SubTaskRequest): object {
  if ('template' in request) return { template: request.template, seconds: request.seconds };
  const { resource, tools, purpose, seconds, budget } = request;
  return {
    resource,
    tools,
    purpose,
    purpose_code: 'purposeCode' in request ? request.purposeCode : undefined,
    seconds,
    budget: budget === undefined ? undefined : budgetBody(budget),
    delegation_id: 'delegationId' in request ? request.delegationId : undefined,
  };
}

function budgetBody({ calls, stepUps, elevatedGrants, amounts }: TaskBudget): object {
  return { calls, step_ups: stepUps, elevated_grants: elevatedGrants, amounts };
}
