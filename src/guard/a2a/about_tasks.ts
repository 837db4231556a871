import { ListTasksRequest, ListTasksResponse } from '@a2a-js/sdk';
import type { JsonObject } from '../../kernel/json.ts';
import { refusal } from '../../wire/refusals.ts';
import { jsonAnswer } from '../answers.ts';
import { principalKey } from '../caller.ts';
import { errorOf, taskNotFound } from './errors.ts';
import { callContext, findOwnTask, ownListParams, ownTaskParams } from './own_tasks.ts';
import { type A2ACall, extensionsOf, type Serving } from './serving.ts';
import { answerOfTransport } from './stream_answer.ts';

/** GetTask, SubscribeToTask and CancelTask: for the principal that the task is of, and no other. */
export async function answerAboutTask(serving: Serving, call: A2ACall): Promise<Response> {
  const method = call.method as keyof typeof ownTaskParams;
  const params = ownTaskParams[method].safeParse(call.params);
  if (!params.success)
    return jsonAnswer(errorOf(call.id, refusal('request_invalid', `The params of ${method} are refused.`)));
  const { id } = params.data;
  const task = await findOwnTask(serving.handler, serving.conversations, call.caller, id);
  if (task === null) return jsonAnswer(taskNotFound(call.id));
  // Whoever asks shows a token, by which what was approved can go on.
  const live = serving.executor.live(id);
  if (live?.principal === principalKey(call.caller)) live.standing.refresh(call.caller);
  const context = callContext(call.caller, extensionsOf(call.request));
  const body = { jsonrpc: '2.0', id: call.id, method, params: params.data };
  return answerOfTransport(serving, call.caller, await serving.transport.handle(body, context), context);
}

/** ListTasks, within one conversation of the principal. */
export async function answerList({ handler, conversations }: Serving, call: A2ACall): Promise<Response> {
  const params = ownListParams.safeParse(call.params);
  if (!params.success || !conversations.isOf(call.caller, params.data.contextId)) {
    const message = 'Tasks are listed by conversation: name the contextId of one of yours.';
    return jsonAnswer(errorOf(call.id, refusal('request_invalid', message)));
  }
  const listed = await handler.listTasks(ListTasksRequest.fromJSON(params.data), callContext(call.caller, []));
  const tasks = listed.tasks.filter((task) => conversations.isOf(call.caller, task.contextId));
  const result = ListTasksResponse.toJSON({ ...listed, tasks }) as JsonObject;
  return jsonAnswer({ jsonrpc: '2.0', id: call.id, result });
}
