import { TaskState } from '@a2a-js/sdk';
import type { AgentExecutor, ExecutionEventBus, RequestContext } from '@a2a-js/sdk/server';
import type { JsonObject } from '../../kernel/json.ts';
import { refusal } from '../../wire/refusals.ts';
import { readTraceparent } from '../../wire/trace_context.ts';
import { principalKey } from '../caller.ts';
import { type GuardContext, tracked } from '../context.ts';
import type { Decided } from '../decide.ts';
import { type Outcome, recordedAnswer, reportOutcome } from '../outcome.ts';
import type { Redemption } from '../redeem.ts';
import { STOPPING } from '../stopping.ts';
import { type ExchangeRequest, rememberCaller, type WaitingCall } from './caller_of.ts';
import { RunBus } from './run_bus.ts';
import { Standing } from './standing.ts';
import { authorizationRequired, refusedTask, statusUpdate, submittedTask, told } from './status.ts';
import type { LiveTask, Ticket } from './ticket.ts';
import { stepUpAnswered } from './wait_for_approval.ts';

type Runnable = Extract<Decided, { kind: 'permit' | 'redeemed' }>;

export interface ExecutorOptions {
  readonly context: GuardContext;
  /** The executor that is protected. */
  readonly inner: AgentExecutor;
  readonly exchange:
    | ((subject: () => string, resource: string, request: ExchangeRequest) => Promise<unknown>)
    | undefined;
}

/**
 * Stands in the place of the executor: runs what was permitted or approved, and nothing that no guard decided. A message
 * that waits for a person is a task in TASK_STATE_AUTH_REQUIRED until then (A2A §7.6), and goes on by itself.
 */
export class GuardedExecutor implements AgentExecutor {
  readonly #options: ExecutorOptions;
  readonly #tickets = new WeakMap<object, Ticket>();
  readonly #live = new Map<string, LiveTask>();

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /** For the call that the SDK will make with this context of its own. */
  admit(context: object, ticket: Ticket): void {
    this.#tickets.set(context, ticket);
  }

  live(taskId: string): LiveTask | undefined {
    return this.#live.get(taskId);
  }

  /** The task of the same principal that waits for this step-up already. */
  waitingFor(principal: string, stepUpId: string): string | undefined {
    for (const [id, task] of this.#live) if (task.stepUpId === stepUpId && task.principal === principal) return id;
    return undefined;
  }

  // An arrow function, because the SDK types it as a property.
  readonly execute = async (request: RequestContext, bus: ExecutionEventBus): Promise<void> => {
    const ticket = this.#tickets.get(request.context);
    if (ticket === undefined || ticket.isTaken)
      throw new TypeError('No guard decided on this message. Nothing was run.');
    ticket.isTaken = true;
    const { caller } = ticket.call;
    const cancelled = new AbortController();
    const standing = new Standing(caller);
    const task: LiveTask = { request, standing, principal: principalKey(caller), stepUpId: null, cancelled };
    this.#live.set(request.taskId, task);
    const running = this.#execute(request, bus, ticket, task).finally(() => {
      if (this.#live.get(request.taskId) === task) this.#live.delete(request.taskId);
    });
    await tracked(this.#options.context, running);
  };

  readonly cancelTask = async (taskId: string, bus: ExecutionEventBus): Promise<void> => {
    const task = this.#live.get(taskId);
    task?.cancelled.abort();
    // What waits publishes its own end; an agent that runs is asked to.
    if (task === undefined || task.stepUpId !== null) return;
    const own = new RunBus(bus, { request: task.request, isTaskTold: true, onEnd: async () => {} });
    await this.#options.inner.cancelTask(taskId, own);
  };

  async #execute(request: RequestContext, bus: ExecutionEventBus, ticket: Ticket, task: LiveTask): Promise<void> {
    if (ticket.decided.kind !== 'wait')
      return this.#run(request, bus, { ticket, task, decided: ticket.decided, isTold: false });
    bus.publish(submittedTask(request));
    const { context } = this.#options;
    const answered = await stepUpAnswered(context, {
      ticket,
      task,
      onAsked: (stepUp) => {
        bus.publish(authorizationRequired(request, ticket.tool, stepUp));
      },
    });
    switch (answered.kind) {
      case 'cancelled':
        bus.publish(statusUpdate(request, TaskState.TASK_STATE_CANCELED));
        return;
      case 'refuse':
        bus.publish(refusedTask(request, answered.refusal));
        return;
      case 'replay': {
        const text = `The same message ran at ${answered.answer.redeemed_at}. Nothing was run now.`;
        const { redeemed_at, outcome } = answered.answer;
        const state = outcome === 'done' ? TaskState.TASK_STATE_COMPLETED : TaskState.TASK_STATE_FAILED;
        bus.publish(told(request, state, text, { replayed: { redeemed_at, outcome } }));
        return;
      }
      case 'permit':
      case 'redeemed':
        bus.publish(statusUpdate(request, TaskState.TASK_STATE_WORKING));
        await this.#run(request, bus, { ticket, task, decided: answered, isTold: true });
    }
  }

  async #run(request: RequestContext, bus: ExecutionEventBus, run: Run): Promise<void> {
    const { context, inner } = this.#options;
    const { decided, task } = run;
    const redemption = decided.kind === 'redeemed' ? decided.redemption : undefined;
    const record = async (outcome: Outcome, result: JsonObject | null): Promise<void> => {
      if (redemption === undefined) return;
      const kept = outcome === 'unknown' || result === null ? null : recordedAnswer({ result });
      await reportOutcome(context, redemption, outcome, kept);
    };
    const own = new RunBus(bus, { request, isTaskTold: run.isTold, onEnd: record });
    if (task.cancelled.signal.aborted || (redemption === undefined && context.closing.aborted)) {
      await record('failed', null);
      const isCancelled = task.cancelled.signal.aborted;
      own.tell(isCancelled ? statusUpdate(request, TaskState.TASK_STATE_CANCELED) : refusedTask(request, STOPPING));
      return;
    }
    this.#introduce(request, own, run, redemption);
    try {
      await inner.execute(request, own);
    } catch (error) {
      context.log.error({ error, task: request.taskId, redemption: redemption?.redemptionId }, 'the agent failed');
      await own.settled();
      // The SDK would send the words of the error to the caller; they may hold anything.
      const said = refusal('outcome_unknown', 'The agent failed while it worked on this message.');
      const isCancelled = task.cancelled.signal.aborted;
      own.tell(isCancelled ? statusUpdate(request, TaskState.TASK_STATE_CANCELED) : refusedTask(request, said));
      return;
    }
    await own.settled();
  }

  #introduce(request: RequestContext, own: RunBus, run: Run, redemption: Redemption | undefined): void {
    const { context, exchange } = this.#options;
    const { task, ticket } = run;
    const { caller } = task.standing;
    rememberCaller(request, {
      requester: caller.requester,
      agent: caller.agent,
      clientId: caller.clientId,
      task: caller.task,
      rootTask: caller.rootTask,
      delegation: caller.delegation,
      actors: caller.actors,
      skill: ticket.tool,
      redemptionId: redemption?.redemptionId,
      traceparent: readTraceparent(ticket.call.request.headers.get('traceparent')),
      signal: AbortSignal.any([task.cancelled.signal, context.closing]),
      exchangeFor: async (resource, asked = {}) => {
        if (exchange === undefined) {
          throw new TypeError('Exchanging needs the "agent" option of protectA2A: the agent that this server acts as.');
        }
        return exchange(() => task.standing.caller.accessToken, resource, asked);
      },
      tellWaiting: (waiting) => own.tell(waitingBelow(context, request, waiting)),
    });
  }
}

interface Run {
  readonly ticket: Ticket;
  readonly task: LiveTask;
  readonly decided: Runnable;
  readonly isTold: boolean;
}

function waitingBelow(context: GuardContext, request: RequestContext, waiting: WaitingCall) {
  const { issuer } = context.action;
  // A server further down chose the address; people are sent to our own pages only.
  if (URL.parse(waiting.approvalUrl)?.origin !== new URL(issuer).origin) {
    throw new TypeError(`"${waiting.approvalUrl}" is no page of ${issuer}.`);
  }
  return authorizationRequired(request, 'message', {
    step_up_id: waiting.stepUpId,
    state: 'open',
    reason: null,
    expires_at: waiting.expiresAt.toISOString(),
    approval_url: waiting.approvalUrl,
  });
}
