/** Callers that come together share one run, which starts after the call of each: it sees what had committed by then. */
export interface OneAtATime {
  (): Promise<void>;
  /** Resolves when nothing runs, also when that failed. */
  settled(): Promise<void>;
}

export function oneAtATime(work: () => Promise<void>): OneAtATime {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    running = work().finally(() => {
      running = undefined;
    });
    return running;
  };
  const run = (): Promise<void> => {
    if (running === undefined) return start();
    next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined;
        return start();
      });
    return next;
  };
  const settled = async () => {
    while (running !== undefined || next !== undefined) await (next ?? running)?.catch(() => {});
  };
  return Object.assign(run, { settled });
}
