import type { EphemeralStore } from './ephemeral.ts';

/** The channels of wake-ups. A message says only that something changed; the reader asks PostgreSQL what. */
export const CHANNELS = {
  outbox: 'wake:outbox',
  keys: 'wake:keys',
  delivery: 'wake:delivery',
  memory: 'wake:memory',
  signals: 'wake:signals',
  stepUp: (id: string) => `wake:step_up:${id}`,
  toolServer: (id: string) => `wake:tool_server:${id}`,
} as const;

/**
 * Waits until `read` gives a value or `timeoutMs` has passed (then undefined). Registers before it reads, so that a
 * change published in between is not lost, and reads again every `pollMs` for wake-ups that never arrive, also when nothing
 * can be subscribed to.
 */
export async function waitFor<Value>(
  ephemeral: EphemeralStore,
  channel: string,
  read: () => Promise<Value | undefined>,
  options: { readonly timeoutMs: number; readonly pollMs: number; readonly signal?: AbortSignal },
): Promise<Value | undefined> {
  const deadline = performance.now() + options.timeoutMs;
  let wake: () => void = () => {};
  let isWoken = false;
  const unsubscribe = await ephemeral
    .subscribe(channel, () => {
      isWoken = true;
      wake();
    })
    .catch(() => () => {});
  const onAbort = () => wake();
  options.signal?.addEventListener('abort', onAbort);
  try {
    for (;;) {
      isWoken = false;
      const value = await read();
      if (value !== undefined) return value;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || options.signal?.aborted) return undefined;
      if (isWoken) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(leftMs, options.pollMs));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } finally {
    unsubscribe();
    options.signal?.removeEventListener('abort', onAbort);
  }
}
