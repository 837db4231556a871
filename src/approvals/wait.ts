import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { CHANNELS, waitFor } from '../store/wake.ts';
import type { StepUpStatus } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { WAIT_POLL_MS } from './limits.ts';
import { cachedStatus, findStepUp, statusOf } from './status.ts';

/**
 * The one primitive under every lane: waits until the step-up is decided, ended or `timeoutMs` has passed, and answers
 * its state then. An open step-up past its deadline is answered as expired, whether or not the sweep has been there.
 */
export async function waitForStepUp(
  store: Store,
  input: {
    readonly stepUpId: string;
    readonly toolServerId: string | null;
    readonly timeoutMs: number;
    readonly signal?: AbortSignal;
  },
): Promise<Result<StepUpStatus, Refusal>> {
  let last: StepUpStatus | undefined;
  const read = async (): Promise<StepUpStatus | 'missing' | undefined> => {
    const cached = last === undefined ? undefined : await cachedStatus(store, input.stepUpId, input.toolServerId);
    if (cached !== undefined) return cached;
    const row = await findStepUp(store.db, input.stepUpId);
    if (row === undefined || (input.toolServerId !== null && row.tool_server_id !== input.toolServerId))
      return 'missing';
    const isUndecided = row.state === 'registered' || row.state === 'open';
    const state = isUndecided && row.expires_at.getTime() <= Date.now() ? 'expired' : row.state;
    last = statusOf(store, { ...row, state });
    return state === 'registered' || state === 'open' ? undefined : last;
  };
  const found = await waitFor(store.ephemeral, CHANNELS.stepUp(input.stepUpId), read, {
    timeoutMs: input.timeoutMs,
    pollMs: WAIT_POLL_MS,
    ...(input.signal === undefined ? {} : { signal: input.signal }),
  });
  if (found === 'missing') return refused(refusal('not_found', 'There is no such step-up at this tool server.'));
  return accepted(found ?? last!);
}
