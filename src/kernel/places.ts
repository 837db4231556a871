/** Counts what is under way by name, so that one guard that waits without end does not keep the others from waiting. */
export class Places {
  readonly #taken = new Map<string, number>();
  readonly #placesMax: number;

  constructor(placesMax: number) {
    this.#placesMax = placesMax;
  }

  /** False if all places of this name are taken; else `leave` must follow once. */
  take(name: string): boolean {
    const taken = this.#taken.get(name) ?? 0;
    if (taken >= this.#placesMax) return false;
    this.#taken.set(name, taken + 1);
    return true;
  }

  leave(name: string): void {
    const taken = this.#taken.get(name) ?? 0;
    if (taken <= 1) this.#taken.delete(name);
    else this.#taken.set(name, taken - 1);
  }
}
