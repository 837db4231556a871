/** Calls that run now, so that a cancellation that arrives on another HTTP request finds its call. */
export class InFlightCalls {
  readonly #calls = new Map<string, Set<AbortController>>();

  /** Registers a call; `done` takes it out again. */
  add(principalKey: string, requestId: string | number): { readonly signal: AbortSignal; readonly done: () => void } {
    const key = callKey(principalKey, requestId);
    const abort = new AbortController();
    const calls = this.#calls.get(key) ?? new Set();
    this.#calls.set(key, calls.add(abort));
    const done = () => {
      calls.delete(abort);
      if (calls.size === 0) this.#calls.delete(key);
    };
    return { signal: abort.signal, done };
  }

  /**
   * Cancels the call if exactly one matches. Several clients of one principal count their requests alike; to cancel one of
   * two at random would stop what nobody asked to stop.
   */
  cancel(principalKey: string, requestId: string | number): boolean {
    const calls = this.#calls.get(callKey(principalKey, requestId));
    if (calls?.size !== 1) return false;
    for (const abort of calls) abort.abort();
    return true;
  }
}

// 1 and "1" are two ids (JSON-RPC 2.0 §4).
function callKey(principalKey: string, requestId: string | number): string {
  return JSON.stringify([principalKey, requestId]);
}
