import type { Task } from '@a2a-js/sdk';
import { type A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import { z } from 'zod';
import type { JsonObject } from '../../kernel/json.ts';
import { A2A_VERSION } from '../../wire/a2a_extension.ts';
import { type Caller, principalKey, principalOf } from '../caller.ts';
import type { Conversations } from './conversations.ts';
import { HISTORY_LENGTH_MAX, TASK_ID_CHARACTERS_MAX, TASK_PAGE_MAX } from './limits.ts';

const id = z.string().min(1).max(TASK_ID_CHARACTERS_MAX);
const tenant = z.literal('').optional();
const historyLength = z.number().int().min(0).max(HISTORY_LENGTH_MAX).optional();

/** By method: their params (A2A §3.1), by camel-case names alone. */
export const ownTaskParams = {
  GetTask: z.strictObject({ tenant, id, historyLength }),
  SubscribeToTask: z.strictObject({ tenant, id }),
  CancelTask: z.strictObject({ tenant, id, metadata: z.record(z.string(), z.unknown()).optional() }),
} as const;

export const ownListParams = z.strictObject({
  tenant,
  /** Demanded: tasks are told apart by their conversations. */
  contextId: id,
  status: z.string().max(64).optional(),
  pageSize: z.number().int().min(1).max(TASK_PAGE_MAX).optional(),
  pageToken: z.string().max(1024).optional(),
  historyLength,
  statusTimestampAfter: z.string().max(64).optional(),
  includeArtifacts: z.boolean().optional(),
});

/**
 * The SDK's context of one call. It names the principal as the user, by which the SDK's stores keep the tasks of users
 * apart; no header of the request and no token is in it.
 */
export function callContext(caller: Caller, extensions: string[]): ServerCallContext {
  const state = new Map<string, unknown>([['countersign', principalOf(caller) as JsonObject]]);
  const user = { isAuthenticated: true, userName: principalKey(caller) };
  return new ServerCallContext({ user, requestedVersion: A2A_VERSION, requestedExtensions: extensions, state });
}

/** The task, if it is of this principal. Whose it is, is in its conversation, whatever store keeps it (A2A §13.1). */
export async function findOwnTask(
  handler: A2ARequestHandler,
  conversations: Conversations,
  caller: Caller,
  taskId: string,
): Promise<Task | null> {
  let task: Task;
  try {
    task = await handler.getTask({ tenant: '', id: taskId, historyLength: 0 }, callContext(caller, []));
  } catch (error) {
    if ((error as Error).name === 'TaskNotFoundError') return null;
    throw error;
  }
  return conversations.isOf(caller, task.contextId) ? task : null;
}
