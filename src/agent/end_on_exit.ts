import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT_MS_MAX } from './limits.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Ends what is open when the program is told to stop, and then lets it stop as it would have. Gives back how to take the
 * handlers away. What is left after `EXIT_MS_MAX` ends by its own time.
 */
export function endOnExit(close: () => Promise<void>): () => void {
  const remove = () => {
    for (const signal of SIGNALS) process.off(signal, stop);
  };
  async function stop(signal: NodeJS.Signals): Promise<void> {
    remove();
    await Promise.race([close().catch(() => {}), sleep(EXIT_MS_MAX)]);
    // With the default handling back in place this ends the process, unless the program has a handler of its own.
    if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  }
  for (const signal of SIGNALS) process.on(signal, stop);
  return remove;
}
