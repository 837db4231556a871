import type { JsonObject } from '../../kernel/json.ts';
import type { UpstreamRequestOptions } from './connection.ts';

const MS_PER_SECOND = 1_000;

export interface RequestTimes {
  /** Since the request or its last progress. */
  readonly quietSecondsMax: number;
  readonly totalSecondsMax: number;
}

/** A request that waits for its answer, with the clock and the caller's signal that may end the wait. */
export interface Pending {
  readonly keepsNumbers: boolean;
  resolve(result: JsonObject): void;
  reject(error: Error): void;
  progressed(params: JsonObject): void;
  /** Stops the clock and forgets the signal; call it before settling. */
  dispose(): void;
}

export function pendingRequest(
  options: UpstreamRequestOptions,
  times: RequestTimes,
  onGiveUp: (why: string) => void,
): { readonly promise: Promise<JsonObject>; readonly pending: Pending } {
  const { promise, resolve, reject } = Promise.withResolvers<JsonObject>();
  const quiet = () => onGiveUp(`The tool server was silent for ${times.quietSecondsMax} seconds.`);
  const late = () => onGiveUp(`The call took longer than ${times.totalSecondsMax} seconds.`);
  const cancelled = () => onGiveUp('The call was cancelled.');
  let quietTimer = setTimeout(quiet, times.quietSecondsMax * MS_PER_SECOND);
  const totalTimer = setTimeout(late, times.totalSecondsMax * MS_PER_SECOND);
  options.signal?.addEventListener('abort', cancelled, { once: true });
  const pending: Pending = {
    keepsNumbers: options.keepsNumbers === true,
    resolve,
    reject,
    progressed: (params) => {
      clearTimeout(quietTimer);
      quietTimer = setTimeout(quiet, times.quietSecondsMax * MS_PER_SECOND);
      options.onProgress?.(params);
    },
    dispose: () => {
      clearTimeout(quietTimer);
      clearTimeout(totalTimer);
      options.signal?.removeEventListener('abort', cancelled);
    },
  };
  return { promise, pending };
}
