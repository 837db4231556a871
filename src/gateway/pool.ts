import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import { afterExit, type BackOff, NO_BACK_OFF } from './back_off.ts';
import { BACK_OFF_WAIT_MS_MAX } from './limits.ts';
import type { GatewayPrincipal } from './principal.ts';
import type { Session } from './session.ts';
import { notSent, type UpstreamError } from './upstream/upstream_error.ts';

export interface PoolLimits {
  readonly perPrincipal: number;
  readonly total: number;
  readonly idleSeconds: number;
}

export interface Lease {
  readonly session: Session;
  release(): void;
}

interface Entry {
  readonly principal: Pick<GatewayPrincipal, 'owner' | 'key'>;
  starting: Promise<Session>;
  session: Session | undefined;
  users: number;
  usedAtMs: number;
  idleTimer: NodeJS.Timeout | undefined;
}

const MS_PER_SECOND = 1_000;

/** One upstream per principal and task, never handed from one to another, never more than the limits. */
export class UpstreamPool {
  readonly #start: () => Promise<Session>;
  readonly #limits: PoolLimits;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();
  /** Also those out of use whose last call still runs. */
  readonly #alive = new Set<Entry>();
  readonly #closings = new Set<Promise<void>>();
  readonly #backOffs = new Map<string, BackOff>();
  #isClosed = false;

  constructor(start: () => Promise<Session>, limits: PoolLimits, log: Logger) {
    this.#start = start;
    this.#limits = limits;
    this.#log = log;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The principal's upstream, started if need be. Throws UpstreamError (`not_sent`). Release it after the call. */
  async acquire(principal: GatewayPrincipal): Promise<Lease> {
    if (this.#isClosed) throw notSent('The gateway is shutting down. Nothing was run.');
    let entry = this.#entries.get(principal.key);
    if (entry?.session !== undefined && !entry.session.upstream.isOpen) {
      this.#forget(entry);
      entry = undefined;
    }
    entry ??= this.#open(principal);
    return this.#lease(entry);
  }

  /** Takes the session out of use; calls on it go on, the next one gets a new upstream. */
  retire(session: Session): void {
    for (const entry of this.#entries.values()) {
      if (entry.session === session) this.#evict(entry);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const entry of [...this.#alive]) this.#closeEntry(entry);
    await Promise.all(this.#closings);
  }

  async #lease(entry: Entry): Promise<Lease> {
    entry.users += 1;
    clearTimeout(entry.idleTimer);
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      entry.users -= 1;
      entry.usedAtMs = performance.now();
      if (entry.users === 0) this.#becameIdle(entry);
    };
    try {
      return { session: await entry.starting, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  #open(principal: GatewayPrincipal): Entry {
    const waitMs = this.#startWaitMs(principal.key);
    const evicted = this.#makeRoom(principal.owner);
    const entry: Entry = {
      principal: { owner: principal.owner, key: principal.key },
      starting: Promise.resolve(undefined as never),
      session: undefined,
      users: 0,
      usedAtMs: performance.now(),
      idleTimer: undefined,
    };
    entry.starting = this.#startEntry(entry, evicted, waitMs);
    entry.starting.catch(() => {});
    this.#entries.set(principal.key, entry);
    this.#alive.add(entry);
    return entry;
  }

  async #startEntry(entry: Entry, evicted: Promise<unknown>, waitMs: number): Promise<Session> {
    const { key } = entry.principal;
    try {
      await evicted;
      if (waitMs > 0) await delay(waitMs);
      const session = await this.#start();
      entry.session = session;
      const startedAtMs = performance.now();
      void session.upstream.exited.then(({ why }) => {
        this.#alive.delete(entry);
        // Whoever closed the entry took it out first.
        if (this.#entries.get(key) !== entry) return;
        this.#log.warn({ why }, 'An upstream ended by itself. The next call starts another one.');
        this.#forget(entry);
        this.#recordExit(key, performance.now() - startedAtMs);
      });
      return session;
    } catch (error) {
      this.#forget(entry);
      this.#alive.delete(entry);
      this.#recordExit(key, 0);
      this.#log.error({ error: (error as UpstreamError).message }, 'An upstream could not be started.');
      throw error;
    }
  }

  #startWaitMs(key: string): number {
    const backOff = this.#backOffs.get(key) ?? NO_BACK_OFF;
    const waitMs = backOff.notBeforeMs - performance.now();
    if (waitMs <= BACK_OFF_WAIT_MS_MAX) return Math.max(0, waitMs);
    const seconds = Math.ceil(waitMs / MS_PER_SECOND);
    throw notSent(
      `The tool server ended ${backOff.failures} times in a row and is started again in ${seconds} s. Nothing was run.`,
    );
  }

  #recordExit(key: string, livedMs: number): void {
    const previous = this.#backOffs.get(key) ?? NO_BACK_OFF;
    this.#backOffs.delete(key);
    this.#backOffs.set(key, afterExit(previous, livedMs, performance.now()));
    // Insertion order is age: the oldest record goes.
    const [oldest] = this.#backOffs.keys();
    if (this.#backOffs.size > this.#limits.total * 4 && oldest !== undefined) this.#backOffs.delete(oldest);
  }

  #makeRoom(owner: string): Promise<unknown> {
    const all = [...this.#entries.values()];
    const owned = all.filter((entry) => entry.principal.owner === owner);
    if (owned.length >= this.#limits.perPrincipal) {
      return this.#evictIdle(owned, 'All tool server processes of this agent are busy. Try again when a call is done.');
    }
    if (all.length < this.#limits.total) return Promise.resolve();
    return this.#evictIdle(all, 'All tool server processes of this gateway are busy. Try again later.');
  }

  #evictIdle(entries: readonly Entry[], refusal: string): Promise<unknown> {
    const [longestIdle] = entries.filter((entry) => entry.users === 0).sort((a, b) => a.usedAtMs - b.usedAtMs);
    if (longestIdle === undefined) throw notSent(`${refusal} Nothing was run.`);
    return this.#closeEntry(longestIdle);
  }

  #becameIdle(entry: Entry): void {
    if (this.#entries.get(entry.principal.key) !== entry) {
      // Retired while in use: its last call is done.
      this.#closeEntry(entry);
      return;
    }
    entry.idleTimer = setTimeout(() => this.#evict(entry), this.#limits.idleSeconds * MS_PER_SECOND);
    entry.idleTimer.unref();
  }

  #evict(entry: Entry): void {
    if (entry.users === 0) this.#closeEntry(entry);
    else this.#forget(entry);
  }

  #closeEntry(entry: Entry): Promise<void> {
    this.#forget(entry);
    clearTimeout(entry.idleTimer);
    const closing = entry.starting
      .then((session) => session.upstream.close())
      .catch(() => {})
      .finally(() => {
        this.#closings.delete(closing);
        this.#alive.delete(entry);
      });
    this.#closings.add(closing);
    return closing;
  }

  #forget(entry: Entry): void {
    if (this.#entries.get(entry.principal.key) === entry) this.#entries.delete(entry.principal.key);
  }
}
