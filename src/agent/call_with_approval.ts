import { setTimeout as sleep } from 'node:timers/promises';
import { APPROVAL_SECONDS_MAX, ASK_AGAIN_MS, ASK_AGAIN_MS_MAX, CALL_TIMEOUT_MS } from './limits.ts';
import { type GuardVerdict, readStepUp } from './read_step_up.ts';

export type Waiting = Extract<GuardVerdict, { kind: 'waiting' }>;

interface CallParams {
  readonly name: string;
  readonly arguments?: Record<string, unknown>;
}

/** The part of the `Client` of MCP SDK v2 that is needed. */
export interface ToolCaller<Result> {
  callTool(
    params: { name: string; arguments?: Record<string, unknown> },
    options?: {
      onprogress?: (progress: unknown) => void;
      resetTimeoutOnProgress?: boolean;
      timeout?: number;
      signal?: AbortSignal;
    },
  ): Promise<Result>;
}

export interface CallWithApprovalOptions {
  /** Called once per request for approval, with the address where a person decides. */
  readonly onWaiting?: (waiting: Waiting) => void;
  /** How long to go on in all. Default 900 s. */
  readonly secondsMax?: number;
  /** Ends the waiting; a call that is on its way is cancelled. */
  readonly signal?: AbortSignal;
}

/**
 * Makes a tool call and, while it waits for a person, makes the same call again until it is decided or the time is up.
 * Gives back the last result: the tool's, a replay of it, a denial, or the one that still waits. The guard holds a call
 * that can wait, so this rarely asks more often than every 45 s.
 *
 * @throws what `callTool` throws, and the signal's reason when it is aborted
 *
 * @example
 * ```ts
 * const result = await callWithApproval(client, { name: 'write_file', arguments: { path: 'a.txt', content: 'hello' } }, {
 *   onWaiting: ({ approvalUrl }) => console.log(`Waiting for approval: ${approvalUrl}`),
 *   secondsMax: 600,
 * });
 * ```
 */
export async function callWithApproval<Result>(
  client: ToolCaller<Result>,
  params: CallParams,
  options: CallWithApprovalOptions = {},
): Promise<Result> {
  const { onWaiting, signal } = options;
  const endsAt = Date.now() + (options.secondsMax ?? APPROVAL_SECONDS_MAX) * 1000;
  const told = new Set<string>();
  const tell = (verdict: GuardVerdict | null) => {
    if (verdict?.kind !== 'waiting' || told.has(verdict.stepUpId)) return;
    told.add(verdict.stepUpId);
    onWaiting?.(verdict);
  };
  for (let pauseMs = ASK_AGAIN_MS; ; pauseMs = Math.min(pauseMs * 1.5, ASK_AGAIN_MS_MAX)) {
    signal?.throwIfAborted();
    const result = await client.callTool(
      { ...params },
      {
        // A progress token tells the guard that this call can be held; its progress carries the same `_meta`.
        onprogress: (progress) => tell(readStepUp(progress)),
        resetTimeoutOnProgress: true,
        timeout: CALL_TIMEOUT_MS,
        ...(signal === undefined ? {} : { signal }),
      },
    );
    const verdict = readStepUp(result);
    tell(verdict);
    if (verdict?.kind !== 'waiting' || Date.now() + pauseMs >= endsAt) return result;
    await sleep(pauseMs, undefined, signal === undefined ? {} : { signal });
  }
}
