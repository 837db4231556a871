import type { Revocation } from '../wire/lease.ts';
import type { FollowedEvent, LogFollower } from './follow.ts';
import { REVOCATIONS_KEPT_MAX, REVOCATIONS_KEPT_MS } from './limits.ts';
import { revocationsOf } from './revocations.ts';

interface Kept {
  readonly position: number;
  readonly revocation: Revocation;
}

/** The revocations of the last minutes, in memory: one per process, whatever number of guards ask it. */
export class RecentRevocations {
  #kept: Kept[] = [];
  /** From this position on nothing is missing. */
  #from = 0;
  readonly #listeners = new Set<() => void>();

  constructor(follower: Pick<LogFollower, 'onEvents' | 'onResync'>) {
    follower.onResync((from) => {
      this.#kept = [];
      this.#from = from;
      this.#tell();
    });
    follower.onEvents((events) => this.#add(events));
  }

  /** Called when there is something new. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** All from this position on, in order; null if some are not known any more. */
  since(position: number): readonly Revocation[] | null {
    if (position < this.#from) return null;
    // Guards are nearly always at the end: look from there.
    let first = this.#kept.length;
    while (first > 0 && this.#kept[first - 1]!.position >= position) first -= 1;
    return this.#kept.slice(first).map(({ revocation }) => revocation);
  }

  /** Those that a token may still be alive of which was issued before them, the latest last. */
  touching(now: Date): readonly Revocation[] {
    const oldest = (now.getTime() - REVOCATIONS_KEPT_MS) / 1000;
    return this.#kept.filter(({ revocation }) => revocation.at >= oldest).map(({ revocation }) => revocation);
  }

  #add(events: readonly FollowedEvent[]): void {
    for (const event of events) {
      for (const revocation of revocationsOf(event)) this.#kept.push({ position: event.position, revocation });
    }
    if (this.#kept.length > 2 * REVOCATIONS_KEPT_MAX) {
      const gone = this.#kept.splice(0, this.#kept.length - REVOCATIONS_KEPT_MAX);
      this.#from = gone.at(-1)!.position + 1;
      this.#kept = this.#kept.filter(({ position }) => position >= this.#from);
    }
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
