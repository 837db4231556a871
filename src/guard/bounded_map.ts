/** A map that forgets its oldest entries; each also ends at its own time (milliseconds since the epoch). */
export class BoundedMap<Value> {
  readonly #entriesMax: number;
  readonly #entries = new Map<string, { readonly value: Value; readonly endsAt: number }>();

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get(name: string, now: number): Value | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    if (entry.endsAt > now) return entry.value;
    this.#entries.delete(name);
    return undefined;
  }

  delete(name: string): void {
    this.#entries.delete(name);
  }

  clear(): void {
    this.#entries.clear();
  }

  get size(): number {
    return this.#entries.size;
  }

  set(name: string, value: Value, endsAt: number): void {
    this.#entries.delete(name);
    this.#entries.set(name, { value, endsAt });
    if (this.#entries.size <= this.#entriesMax) return;
    const oldest = this.#entries.keys().next();
    if (!oldest.done) this.#entries.delete(oldest.value);
  }
}
