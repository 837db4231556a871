import { type Caller, principalKey } from './caller.ts';
import type { RequestId } from './edge.ts';

/**
 * The calls of this process that a caller may cancel by their JSON-RPC id. Ids are chosen by clients: the same one may be
 * in flight twice, then both are cancelled; another principal's calls never are.
 */
export class InFlightCalls {
  readonly #calls = new Map<string, Set<AbortController>>();
  #count = 0;

  add(caller: Caller, id: RequestId): { readonly cancelled: AbortSignal; readonly done: () => void } {
    const name = nameOf(caller, id);
    const controller = new AbortController();
    const calls = this.#calls.get(name) ?? new Set();
    this.#calls.set(name, calls.add(controller));
    this.#count += 1;
    return {
      cancelled: controller.signal,
      done: () => {
        if (calls.delete(controller)) this.#count -= 1;
        if (calls.size === 0 && this.#calls.get(name) === calls) this.#calls.delete(name);
      },
    };
  }

  cancel(caller: Caller, id: RequestId): void {
    for (const controller of this.#calls.get(nameOf(caller, id)) ?? []) controller.abort();
  }

  get count(): number {
    return this.#count;
  }

  get size(): number {
    return this.#calls.size;
  }
}

function nameOf(caller: Caller, id: RequestId): string {
  return JSON.stringify([principalKey(caller), id]);
}
