import { SWEEP_INTERVAL_MS } from './limits.ts';

/** A store in memory has no room left; like any outage of a store, callers deny. */
export class StoreFullError extends Error {
  override readonly name = 'StoreFullError';
}

interface Entry<Value> {
  value: Value;
  readonly expiresAtMs: number;
}

/**
 * A map with a bound whose entries expire. When it is full of live entries a new one is refused: dropping an old one
 * could drop a mark that forbids a replay.
 */
export class ExpiringMap<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #entriesMax: number;
  readonly #now: () => number;
  #sweptAtMs = Number.NEGATIVE_INFINITY;

  constructor(entriesMax: number, now: () => number) {
    this.#entriesMax = entriesMax;
    this.#now = now;
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAtMs > this.#now()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, value: Value, expiresAtMs: number): void {
    if (expiresAtMs <= this.#now()) {
      this.#entries.delete(key);
      return;
    }
    this.#sweep();
    if (this.#entries.size >= this.#entriesMax && !this.#entries.has(key)) {
      throw new StoreFullError(
        `The store in memory holds its maximum of ${this.#entriesMax} entries; nothing was kept. ` +
          'Wait until some expire, or use Redis for this load.',
      );
    }
    this.#entries.set(key, { value, expiresAtMs });
  }

  /** Changes the value of a live entry and leaves its expiry; false if there is none. */
  replace(key: string, value: Value): boolean {
    if (this.get(key) === undefined) return false;
    this.#entries.get(key)!.value = value;
    return true;
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  *live(): Iterable<readonly [key: string, value: Value]> {
    const now = this.#now();
    for (const [key, entry] of this.#entries) if (entry.expiresAtMs > now) yield [key, entry.value];
  }

  clear(): void {
    this.#entries.clear();
  }

  // Not on every write: looking through all entries costs in proportion to them.
  #sweep(): void {
    const now = this.#now();
    if (now - this.#sweptAtMs < SWEEP_INTERVAL_MS) return;
    this.#sweptAtMs = now;
    for (const [key, entry] of this.#entries) if (entry.expiresAtMs <= now) this.#entries.delete(key);
  }
}
