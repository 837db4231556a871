import { type Artifact, Message, Task, TaskState } from '@a2a-js/sdk';
import type {
  AgentExecutionEvent,
  EventListener,
  ExecutionEventBus,
  ExecutionEventName,
  FinishedListener,
  RequestContext,
} from '@a2a-js/sdk/server';
import type { JsonObject } from '../../kernel/json.ts';
import type { Outcome } from '../outcome.ts';
import { withoutOurs } from './reserved.ts';
import { statusUpdate, submittedTask, type TaskIds } from './status.ts';

export interface RunBusOptions {
  /** Of the task that is published about. */
  readonly request: RequestContext;
  /** Clients were told of the task already: after that, a stream carries no second one (A2A §3.1.2). */
  readonly isTaskTold: boolean;
  /** What the agent published ends its turn. What ends it is sent on when this resolves. */
  readonly onEnd: (outcome: Outcome, result: JsonObject | null) => Promise<void>;
}

/**
 * The bus that an agent publishes to while it runs. What it publishes is about its own task, says nothing in our name,
 * and the event that ends the turn waits until the outcome is recorded.
 */
export class RunBus implements ExecutionEventBus {
  readonly #bus: ExecutionEventBus;
  readonly #options: RunBusOptions;
  #isTaskTold: boolean;
  #task: Task | null = null;
  #held: (() => void)[] | null = null;
  #ended: Promise<void> | null = null;

  constructor(bus: ExecutionEventBus, options: RunBusOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#isTaskTold = options.isTaskTold;
  }

  publish(event: AgentExecutionEvent): void {
    for (const one of this.#asTold(inTask(withoutOurs(event), this.#options.request))) this.#take(one);
  }

  /** In the name of the guard. */
  tell(event: AgentExecutionEvent): void {
    if (!this.#isTaskTold) this.#inOrder(() => this.#bus.publish(submittedTask(this.#options.request)));
    this.#isTaskTold = true;
    this.#inOrder(() => this.#bus.publish(event));
  }

  finished(): void {
    this.#inOrder(() => this.#bus.finished());
  }

  /** Resolves when everything was sent on; without an event that ended the turn, what became of it is not known. */
  async settled(): Promise<void> {
    this.#ended ??= this.#options.onEnd('unknown', null);
    await this.#ended;
  }

  #asTold(event: AgentExecutionEvent): AgentExecutionEvent[] {
    if (!this.#isTaskTold || (event.kind !== 'task' && event.kind !== 'message')) return [event];
    if (event.kind === 'message') {
      return [statusUpdate(this.#options.request, TaskState.TASK_STATE_COMPLETED, event.data)];
    }
    const { status, artifacts } = event.data;
    const { taskId, contextId } = this.#options.request;
    const sent = artifacts.map((artifact) => ({
      taskId,
      contextId,
      artifact,
      append: false,
      lastChunk: true,
      metadata: {},
    }));
    const update = { taskId, contextId, status, metadata: event.data.metadata };
    return [...sent.map((data) => ({ kind: 'artifactUpdate', data }) as const), { kind: 'statusUpdate', data: update }];
  }

  #take(event: AgentExecutionEvent): void {
    if (event.kind === 'task') this.#isTaskTold = true;
    this.#note(event);
    const outcome = endOf(event);
    if (outcome !== null && this.#ended === null) {
      this.#held = [() => this.#bus.publish(event)];
      this.#ended = this.#options.onEnd(outcome, this.#result(event)).finally(() => {
        const held = this.#held ?? [];
        this.#held = null;
        for (const send of held) send();
      });
      return;
    }
    this.#inOrder(() => this.#bus.publish(event));
  }

  #inOrder(send: () => void): void {
    if (this.#held === null) send();
    else this.#held.push(send);
  }

  #note(event: AgentExecutionEvent): void {
    if (event.kind === 'task') this.#task = structuredClone(event.data);
    if (event.kind === 'message' || event.kind === 'task') return;
    const { taskId, contextId } = this.#options.request;
    this.#task ??= { id: taskId, contextId, status: undefined, artifacts: [], history: [], metadata: {} };
    if (event.kind === 'statusUpdate') this.#task.status = structuredClone(event.data.status);
    else if (event.data.artifact !== undefined) addArtifact(this.#task, event.data.artifact, event.data.append);
  }

  #result(event: AgentExecutionEvent): JsonObject | null {
    if (event.kind === 'message') return { message: Message.toJSON(event.data) as JsonObject };
    return this.#task === null ? null : { task: Task.toJSON(this.#task) as JsonObject };
  }

  on(name: 'event', listener: EventListener): this;
  on(name: 'finished', listener: FinishedListener): this;
  on(name: ExecutionEventName, listener: EventListener): this {
    this.#bus.on(name as 'event', listener);
    return this;
  }

  off(name: 'event', listener: EventListener): this;
  off(name: 'finished', listener: FinishedListener): this;
  off(name: ExecutionEventName, listener: EventListener): this {
    this.#bus.off(name as 'event', listener);
    return this;
  }

  once(name: 'event', listener: EventListener): this;
  once(name: 'finished', listener: FinishedListener): this;
  once(name: ExecutionEventName, listener: EventListener): this {
    this.#bus.once(name as 'event', listener);
    return this;
  }

  /** Others listen to this bus too. */
  removeAllListeners(): this {
    return this;
  }
}

/** A turn that ends with a question is done: the answer to it is a message that is decided by itself. */
function endOf(event: AgentExecutionEvent): Outcome | null {
  if (event.kind === 'message') return 'done';
  if (event.kind === 'artifactUpdate') return null;
  switch (event.data.status?.state) {
    case TaskState.TASK_STATE_COMPLETED:
    case TaskState.TASK_STATE_INPUT_REQUIRED:
      return 'done';
    case TaskState.TASK_STATE_FAILED:
    case TaskState.TASK_STATE_REJECTED:
      return 'failed';
    case TaskState.TASK_STATE_CANCELED:
      // Part of the work may be done.
      return 'unknown';
    default:
      return null;
  }
}

/** An agent answers in the task and the conversation that it was given, whatever ids it made up. */
function inTask(event: AgentExecutionEvent, { taskId, contextId }: TaskIds): AgentExecutionEvent {
  if (event.kind === 'task') return { kind: 'task', data: { ...event.data, id: taskId, contextId } };
  if (event.kind === 'message') return { kind: 'message', data: { ...event.data, contextId } };
  return { kind: event.kind, data: { ...event.data, taskId, contextId } } as AgentExecutionEvent;
}

function addArtifact(task: Task, artifact: Artifact, isAppended: boolean): void {
  const known = task.artifacts.find((one) => one.artifactId === artifact.artifactId);
  if (known === undefined) task.artifacts.push(structuredClone(artifact));
  else if (isAppended) known.parts.push(...structuredClone(artifact.parts));
  else Object.assign(known, structuredClone(artifact));
}
