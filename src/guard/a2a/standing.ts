import type { Caller } from '../caller.ts';

/** The caller of a message that waits, by the newest token that the same principal has shown. */
export class Standing {
  #caller: Caller;
  #newer: (() => void)[] = [];

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  get caller(): Caller {
    return this.#caller;
  }

  isLive(now: Date): boolean {
    return this.#caller.expiresAt * 1000 > now.getTime();
  }

  /** The same principal came back; a token that ends sooner changes nothing. */
  refresh(caller: Caller): void {
    if (caller.expiresAt <= this.#caller.expiresAt) return;
    this.#caller = caller;
    for (const tell of this.#newer.splice(0)) tell();
  }

  /** Resolves when another token was shown, or when the signal is aborted. */
  newer(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const tell = () => {
        signal.removeEventListener('abort', tell);
        resolve();
      };
      this.#newer.push(tell);
      signal.addEventListener('abort', tell, { once: true });
    });
  }
}
