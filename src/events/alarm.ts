/** Lets a loop sleep until somebody rings, and remembers a ring that comes while the loop is at work. */
export interface Alarm {
  ring(): void;
  /** Whether it rang since the last call. */
  wasRung(): boolean;
  /** Until it rings, at most so long; not at all if it rang unseen. */
  wait(milliseconds: number): Promise<void>;
  /** So long, whether it rings or not; not at all for a time that is not positive. */
  pause(milliseconds: number): Promise<void>;
  /** Ends every wait and pause, now and later. */
  end(): void;
}

export function createAlarm(): Alarm {
  let isRung = false;
  let isEnded = false;
  let wakeWaiting: (() => void) | undefined;
  let wakePausing: (() => void) | undefined;
  const sleep = (milliseconds: number, keep: (wake: () => void) => void) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      keep(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  return {
    ring() {
      isRung = true;
      wakeWaiting?.();
    },
    wasRung() {
      const was = isRung;
      isRung = false;
      return was;
    },
    async wait(milliseconds) {
      if (isRung || isEnded) return;
      await sleep(milliseconds, (wake) => {
        wakeWaiting = wake;
      });
      wakeWaiting = undefined;
    },
    async pause(milliseconds) {
      if (isEnded || milliseconds <= 0) return;
      await sleep(milliseconds, (wake) => {
        wakePausing = wake;
      });
      wakePausing = undefined;
    },
    end() {
      isEnded = true;
      wakeWaiting?.();
      wakePausing?.();
    },
  };
}
