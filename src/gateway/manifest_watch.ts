import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import { MANIFEST_SETTLE_MS, MANIFEST_SETTLE_MS_MAX } from './limits.ts';
import { NO_TOOLS, readTools, type ToolList } from './tool_list.ts';
import type { Upstream } from './upstream/connection.ts';
import { isObject } from './upstream/json_rpc_peer.ts';

/**
 * Knows what one upstream lists now. Servers register tools after the handshake and say so in bursts of `list_changed`:
 * a list counts once it was quiet for a while, and only such a list is reported.
 */
export class ManifestWatch {
  readonly #upstream: Upstream;
  readonly #log: Logger;
  readonly #onSettled: (list: ToolList) => void;
  #list: ToolList = NO_TOOLS;
  /** `list_changed` notifications so far, and how many of them the list takes in. */
  #changes = 0;
  #changesRead = 0;
  #isSettling = true;
  #hasFailed = false;
  #settled: Promise<void>;
  /** The first reading: enough to run a tool that it shows as expected. */
  readonly first: Promise<void>;

  constructor(upstream: Upstream, log: Logger, onSettled: (list: ToolList) => void) {
    this.#upstream = upstream;
    this.#log = log;
    this.#onSettled = onSettled;
    const { tools } = upstream.initializeResult.capabilities;
    const mayChange = isObject(tools) && tools.listChanged === true;
    this.first = this.#readOnce();
    this.#settled = this.first.then(() => (mayChange || this.isStale ? this.#settle() : this.#report()));
    this.#settled.catch(() => this.#failed());
  }

  /** What the last reading shows; `isStale` says whether to wait for `settled`. */
  get list(): ToolList {
    return this.#list;
  }

  get isStale(): boolean {
    return this.#changes !== this.#changesRead;
  }

  /**
   * Resolves when the list is quiet and reported. Rejects with UpstreamError when it cannot be read; the next call reads
   * again.
   */
  settled(): Promise<void> {
    if (this.#hasFailed) this.listChanged();
    return this.#settled;
  }

  /** The upstream said `notifications/tools/list_changed`. */
  listChanged(): void {
    this.#changes += 1;
    if (this.#isSettling) return;
    this.#isSettling = true;
    this.#hasFailed = false;
    this.#settled = this.#settle();
    this.#settled.catch((error: Error) => {
      this.#log.warn({ error: error.message }, 'The changed tools cannot be read.');
      this.#failed();
    });
  }

  /** Reads again now, for servers that change without saying so. */
  async read(): Promise<ToolList> {
    // What went wrong before may be over; the reading below tells.
    await this.#settled.catch(() => {});
    await this.#readOnce();
    if (!this.#isSettling) this.#report();
    return this.#list;
  }

  async #readOnce(): Promise<void> {
    const changes = this.#changes;
    this.#list = await readTools(this.#upstream, this.#log);
    this.#changesRead = changes;
  }

  async #settle(): Promise<void> {
    const deadline = performance.now() + MANIFEST_SETTLE_MS_MAX;
    try {
      do {
        let changes = -1;
        while (changes !== this.#changes && performance.now() < deadline) {
          changes = this.#changes;
          // Keeps the process alive: somebody waits for the tools, and over HTTP nothing else may hold it.
          await delay(MANIFEST_SETTLE_MS);
        }
        if (this.isStale) await this.#readOnce();
      } while (this.isStale && performance.now() < deadline);
    } finally {
      this.#isSettling = false;
    }
    this.#report();
  }

  #failed(): void {
    this.#isSettling = false;
    this.#hasFailed = true;
  }

  #report(): void {
    this.#isSettling = false;
    this.#onSettled(this.#list);
  }
}
