import { setTimeout as sleep } from 'node:timers/promises';
import { A2A_ERROR_DOMAIN, A2A_EXTENSION_URI, a2aTold } from '../wire/a2a_extension.ts';
import type { CallWithApprovalOptions } from './call_with_approval.ts';
import { APPROVAL_SECONDS_MAX, ASK_AGAIN_MS, ASK_AGAIN_MS_MAX } from './limits.ts';
import { type Outcome, outcomeOf, outcomeOfError } from './outcome.ts';
import type { GuardVerdict } from './read_step_up.ts';

/** The part of the `Client` of `@a2a-js/sdk` that is needed. */
export interface MessageSender<Request, Sent extends object> {
  sendMessage(request: Request): Promise<Sent>;
  getTask(request: { tenant: string; id: string; historyLength: number | undefined }): Promise<object>;
}

/** Of A2A 1.0 (`TaskState`): what is in none of them has ended. */
const AUTH_REQUIRED = 8;
const GOES_ON: readonly unknown[] = [1, 2];

const STILL_WORKS = {
  kind: 'unknown',
  message: 'The agent still works on this task; the time that was given is up.',
  next: 'Look at the task again later.',
} as const;

/**
 * Sends a message to an agent behind a guard and follows its task: while it waits for a person, and until the agent has
 * answered. Gives back the last task or message as `done`, or why there is none.
 *
 * @throws what the client throws that is no refusal, and the signal's reason when it is aborted
 *
 * @example
 * ```ts
 * import { ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory } from '@a2a-js/sdk/client';
 * import { createServiceAgent, sendWithApproval } from 'countersign/agent';
 *
 * await using task = await agent.openTask({ resource, tools: ['message'], purpose: 'Ask billing for a refund' });
 * const transports = [new JsonRpcTransportFactory({ fetchImpl: task.fetch(resource) })];
 * const client = await new ClientFactory({ ...ClientFactoryOptions.default, transports }).createFromUrl('http://localhost:3000');
 * const outcome = await sendWithApproval(client, { tenant: '', message, configuration: undefined, metadata: undefined });
 * if (outcome.kind === 'denied') console.log(`Refused: ${outcome.reason}`);
 * ```
 */
export async function sendWithApproval<Request, Sent extends object>(
  client: MessageSender<Request, Sent>,
  request: Request,
  options: CallWithApprovalOptions = {},
): Promise<Outcome<Sent>> {
  const { signal, onWaiting } = options;
  const endsAt = Date.now() + (options.secondsMax ?? APPROVAL_SECONDS_MAX) * 1000;
  const told = new Set<string>();
  try {
    let result: Sent = await client.sendMessage(request);
    for (let pauseMs = ASK_AGAIN_MS; ; pauseMs = Math.min(pauseMs * 1.5, ASK_AGAIN_MS_MAX)) {
      signal?.throwIfAborted();
      const verdict = readA2A(result);
      if (verdict?.kind === 'waiting' && !told.has(verdict.stepUpId)) {
        told.add(verdict.stepUpId);
        onWaiting?.(verdict);
      }
      const { id, state } = taskOf(result);
      const isOver = id === undefined || (state !== AUTH_REQUIRED && !GOES_ON.includes(state));
      if (isOver) return outcomeOf(result, verdict?.kind === 'waiting' ? null : verdict);
      if (Date.now() + pauseMs >= endsAt) return state === AUTH_REQUIRED ? outcomeOf(result, verdict) : STILL_WORKS;
      await sleep(pauseMs, undefined, signal === undefined ? {} : { signal });
      result = (await client.getTask({ tenant: '', id, historyLength: undefined })) as Sent;
    }
  } catch (error) {
    signal?.throwIfAborted();
    const verdict = readA2A(error);
    if (verdict === null) return outcomeOfError(error);
    const outcome = outcomeOf(undefined, verdict);
    if (outcome.kind === 'done') throw error;
    return outcome;
  }
}

/**
 * Reads what a guard says in a task or a message of an agent, or in an error that the client threw. Null where it says
 * nothing.
 */
export function readA2A(value: unknown): GuardVerdict | null {
  if (!isObject(value)) return null;
  const status = isObject(value.status) ? value.status : undefined;
  const message = isObject(status?.message) ? status.message : value;
  const told = a2aTold.safeParse(ours(message.metadata) ?? ours(value.metadata) ?? {});
  if (told.success && told.data.step_up !== undefined) {
    const { id, state, approval_url: approvalUrl, expires_at: expiresAt } = told.data.step_up;
    return { kind: 'waiting', stepUpId: id, state, approvalUrl, expiresAt: new Date(expiresAt) };
  }
  if (told.success && told.data.refusal !== undefined) {
    const { error, error_description: text, next, detail } = told.data.refusal;
    return { kind: 'refused', code: error, message: text, next, detail: detail ?? {} };
  }
  if (told.success && told.data.replayed !== undefined) {
    const { redeemed_at: at, outcome } = told.data.replayed;
    return { kind: 'replayed', redeemedAt: new Date(at), outcome };
  }
  return readErrorInfo(value);
}

/** A2A §9.5: `google.rpc.ErrorInfo` among the details of an error. */
function readErrorInfo(error: Record<string, unknown>): GuardVerdict | null {
  const data = Array.isArray(error.data) ? error.data : [];
  const info = data.find((one) => isObject(one) && one.domain === A2A_ERROR_DOMAIN);
  if (!isObject(info) || typeof info.reason !== 'string') return null;
  const detail = isObject(info.metadata) ? info.metadata : {};
  const { next, step_up_id: id, approval_url: url, expires_at: expiresAt } = detail;
  const code = info.reason.toLowerCase();
  if (code === 'step_up_required' && typeof id === 'string' && typeof url === 'string') {
    return { kind: 'waiting', stepUpId: id, state: 'open', approvalUrl: url, expiresAt: new Date(String(expiresAt)) };
  }
  const message = typeof error.message === 'string' ? error.message : code;
  return { kind: 'refused', code, message, next: typeof next === 'string' ? next : '', detail };
}

function taskOf(value: object): { readonly id: string | undefined; readonly state: unknown } {
  const { id, status } = value as { id?: unknown; status?: { state?: unknown } };
  return { id: typeof id === 'string' && status !== undefined ? id : undefined, state: status?.state };
}

function ours(metadata: unknown): unknown {
  return isObject(metadata) ? metadata[A2A_EXTENSION_URI] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
