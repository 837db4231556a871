export interface Sweep {
  /** Resolves when the run that is under way has ended. */
  stop(): Promise<void>;
}

/** Runs `work` every so often, one run at a time, until stopped. A run that fails is told to `onError`; the next one comes. */
export function startSweep(
  everyMs: number,
  work: (isStopped: () => boolean) => Promise<unknown>,
  onError: (error: unknown) => void,
): Sweep {
  let isStopped = false;
  let running: Promise<unknown> = Promise.resolve();
  const run = async () => {
    if (!isStopped) await work(() => isStopped).catch(onError);
  };
  const timer = setInterval(() => {
    running = running.then(run);
  }, everyMs);
  timer.unref();
  return {
    async stop() {
      isStopped = true;
      clearInterval(timer);
      await running;
    },
  };
}
