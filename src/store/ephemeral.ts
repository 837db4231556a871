/**
 * The port for what may be lost (design §4): positive, expiring entries, single-use marks, counters and wake-ups.
 * Losing all of it costs latency and sign-ins, never safety. Memory implements it for one process, Redis for many;
 * every implementation passes `test/store/ephemeral_contract.ts`. All methods are atomic per key. Keys are at most
 * 256 characters, values at most 64 KiB of text. A store that cannot be reached rejects: callers deny.
 */
export interface EphemeralStore {
  /** Sets `key`, replacing what was there, for `ttlMs` milliseconds (a ttl that is not positive deletes). */
  put(key: string, value: string, ttlMs: number): Promise<void>;
  /** The live value, or undefined if none was put or it expired. */
  get(key: string): Promise<string | undefined>;
  /** Gets and deletes in one step: of many callers at most one receives the value. */
  take(key: string): Promise<string | undefined>;
  /** Sets `key` only if it has no live value. True for exactly one of many callers until the entry expires. */
  putIfAbsent(key: string, value: string, ttlMs: number): Promise<boolean>;
  /** Adds one to a counter that starts at 0 and expires `ttlMs` after its first increment; returns the new count. */
  increment(key: string, ttlMs: number): Promise<number>;
  delete(key: string): Promise<void>;
  /** Delivers `message` to every subscriber of `channel` in every process, at most once, in no promised order. */
  publish(channel: string, message: string): Promise<void>;
  /** Resolves when the subscription is in force: a message published after that is delivered. */
  subscribe(channel: string, listener: (message: string) => void): Promise<Unsubscribe>;
  /**
   * The moment before which this store remembers nothing. A replay check must refuse proofs issued earlier, because
   * their marks may have been lost (facts: Redis loses and resurrects writes; memory starts empty). It moves forward when the
   * store finds its memory lost, also during a call: mark first, then compare with what it is after that call.
   */
  readonly remembersSince: Date;
  close(): Promise<void>;
}

export type Unsubscribe = () => void;
