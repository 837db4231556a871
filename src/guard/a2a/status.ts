import { randomUUID } from 'node:crypto';
import { type Message, type Part, Role, type Task, TaskState, type TaskStatus } from '@a2a-js/sdk';
import type { AgentExecutionEvent, RequestContext } from '@a2a-js/sdk/server';
import type { JsonObject } from '../../kernel/json.ts';
import { A2A_EXTENSION_URI, type A2ATold } from '../../wire/a2a_extension.ts';
import type { StepUpStatus } from '../../wire/guard_api.ts';
import { REFUSALS, type Refusal, refusalBody } from '../../wire/refusals.ts';
import { stepUpMeta } from '../lanes/retry.ts';

/** Which task an event is about. */
export type TaskIds = Pick<RequestContext, 'taskId' | 'contextId'>;

/** The task that the first event must be (A2A SDK): submitted, with the message in its history. */
export function submittedTask(request: RequestContext): AgentExecutionEvent {
  const { taskId, contextId, task, userMessage } = request;
  const data: Task = {
    id: taskId,
    contextId,
    status: { state: TaskState.TASK_STATE_SUBMITTED, message: undefined, timestamp: new Date().toISOString() },
    artifacts: task?.artifacts ?? [],
    history: [...(task?.history ?? []).filter((one) => one.messageId !== userMessage.messageId), userMessage],
    metadata: task?.metadata ?? {},
  };
  return { kind: 'task', data };
}

/** A2A §7.6: what is needed, in words for people and as data for programs. It authorizes nothing by itself. */
export function authorizationRequired(ids: TaskIds, name: string, stepUp: StepUpStatus): AgentExecutionEvent {
  const text =
    `Nothing ran yet: a person must approve this ${name === 'message' ? 'message' : `request to "${name}"`}.\n` +
    `It is shown and decided here, until ${stepUp.expires_at}: ${stepUp.approval_url}\n` +
    'The task goes on by itself after that: poll it, or subscribe to it.';
  return told(ids, TaskState.TASK_STATE_AUTH_REQUIRED, text, { step_up: stepUpMeta(stepUp) as A2ATold['step_up'] });
}

/** The task ends without having run: refused by a person, or not possible any more. */
export function refusedTask(ids: TaskIds, refused: Refusal): AgentExecutionEvent {
  const isPerson = refused.code === 'step_up_denied';
  const state = isPerson ? TaskState.TASK_STATE_REJECTED : TaskState.TASK_STATE_FAILED;
  const text = `${refused.message} ${REFUSALS[refused.code].next}`;
  return told(ids, state, text, { refusal: refusalBody(refused) as A2ATold['refusal'] });
}

export function told(ids: TaskIds, state: TaskState, text: string, what: A2ATold): AgentExecutionEvent {
  const parts = [textPart(text), dataPart(what as JsonObject)];
  return statusUpdate(ids, state, { ...agentMessage(ids, parts), metadata: { [A2A_EXTENSION_URI]: what } });
}

/** Without words of ours. */
export function statusUpdate(ids: TaskIds, state: TaskState, message?: Message): AgentExecutionEvent {
  const status: TaskStatus = { state, message, timestamp: new Date().toISOString() };
  return { kind: 'statusUpdate', data: { taskId: ids.taskId, contextId: ids.contextId, status, metadata: {} } };
}

export function agentMessage(ids: TaskIds, parts: Part[]): Message {
  const { taskId, contextId } = ids;
  const role = Role.ROLE_AGENT;
  const extensions = [A2A_EXTENSION_URI];
  return { messageId: randomUUID(), taskId, contextId, role, parts, metadata: {}, extensions, referenceTaskIds: [] };
}

export function textPart(value: string): Part {
  return { content: { $case: 'text', value }, metadata: undefined, filename: '', mediaType: 'text/plain' };
}

function dataPart(value: JsonObject): Part {
  return { content: { $case: 'data', value }, metadata: undefined, filename: '', mediaType: 'application/json' };
}
