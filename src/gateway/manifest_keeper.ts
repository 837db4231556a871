import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import { afterExit, NO_BACK_OFF } from './back_off.ts';
import type { Session } from './session.ts';
import type { InitializeResult } from './upstream/connection.ts';

/**
 * Keeps one upstream of the gateway's own, which no principal ever uses: it tells what the server is and lists, before
 * anyone calls and when the list changes.
 */
export class ManifestKeeper {
  readonly #start: () => Promise<Session>;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  #session: Promise<Session>;
  #backOff = NO_BACK_OFF;
  #description: InitializeResult | undefined;
  #isClosed = false;

  constructor(start: () => Promise<Session>, log: Logger) {
    this.#start = start;
    this.#log = log;
    this.#session = this.#begin();
    this.#session.catch(() => {});
  }

  /** What the server said at its handshake; the last known answer while it restarts. Throws UpstreamError. */
  async description(): Promise<InitializeResult> {
    return this.#description ?? (await this.#session).upstream.initializeResult;
  }

  /** Resolves when the tool list was read and reported. Throws UpstreamError. */
  async settled(): Promise<void> {
    const session = await this.#session;
    await session.watch.settled();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stop.abort();
    const session = await this.#session.catch(() => undefined);
    await session?.upstream.close();
  }

  async #begin(): Promise<Session> {
    try {
      const session = await this.#start();
      this.#description = session.upstream.initializeResult;
      const startedAtMs = performance.now();
      void session.upstream.exited.then(() => this.#again(performance.now() - startedAtMs));
      return session;
    } catch (error) {
      if (!this.#isClosed)
        this.#log.error({ error: (error as Error).message }, 'The tool server could not be started.');
      void this.#again(0);
      throw error;
    }
  }

  async #again(livedMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#backOff = afterExit(this.#backOff, livedMs, performance.now());
    const waitMs = Math.max(0, this.#backOff.notBeforeMs - performance.now());
    if (waitMs > 0) await delay(waitMs, undefined, { ref: false, signal: this.#stop.signal }).catch(() => {});
    if (this.#isClosed) return;
    this.#session = this.#begin();
    this.#session.catch(() => {});
  }
}
