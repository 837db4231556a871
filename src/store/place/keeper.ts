import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../kernel/logger.ts';
import type { MemoryEpochs, NewEpoch } from '../postgres/memory_epoch.ts';
import { type MemoryEpoch, type MemoryFailure, type Place, recoveryFrom, setbacksAfter } from './epoch.ts';
import { memoryFailureOf } from './failure.ts';
import { BEGIN_WAIT_MS_MAX, PLACE_ATTEMPTS_MAX, PLACE_VIEW_MS } from './limits.ts';

/** What a change of epoch asks of a place. */
export interface EpochPlace {
  /** The identities of the servers there now. */
  servers(): Promise<readonly string[]>;
  seed(epochId: string): Promise<void>;
  drop(epochId: string): Promise<void>;
}

export interface KeeperOptions {
  readonly epochs: MemoryEpochs;
  /** Rejects with a memory failure where a place cannot be used. */
  readonly places: Readonly<Record<Place, EpochPlace>>;
  readonly log: Logger;
  /** Tells the other servers to look; they find out by polling, too. */
  readonly announce: () => void;
}

interface View {
  readonly epoch: MemoryEpoch;
  /** By `performance.now()`: when the row was asked for, and when the epoch begins to remember. */
  readonly readAtMs: number;
  readonly beginsAtMs: number;
}

/**
 * This server's view of where the memory is. Every operation goes by it; whoever finds that the memory failed moves it
 * for everybody, one at a time, by the row in PostgreSQL.
 */
export class MemoryKeeper {
  readonly #options: KeeperOptions;
  #view: View;
  #reading: Promise<void> | undefined;
  readonly #recovering = new Map<string, Promise<void>>();
  #isStopped = false;
  setbacks = 0;

  private constructor(options: KeeperOptions, view: View) {
    this.#options = options;
    this.#view = view;
  }

  /** Reads the epoch of the moment; `placeOfFirst` is where a first one begins. */
  static async open(options: KeeperOptions, placeOfFirst: Place): Promise<MemoryKeeper> {
    if (!(await options.epochs.exist())) {
      const first = await prepare(options, placeOfFirst);
      if (!(await options.epochs.first(first))) await options.places[first.place].drop(first.id).catch(() => {});
    }
    return new MemoryKeeper(options, await readView(options.epochs));
  }

  get epoch(): MemoryEpoch {
    return this.#view.epoch;
  }

  /** Runs an operation where the memory is; when it fails there, where it is then. Rejects when that is nowhere. */
  async run<Value>(work: (place: Place) => Promise<Value>): Promise<Value> {
    for (let attempt = 1; ; attempt += 1) {
      const { epoch } = this.#view;
      try {
        return await work(epoch.place);
      } catch (error) {
        const failure = memoryFailureOf(error);
        if (failure === undefined || attempt === PLACE_ATTEMPTS_MAX || this.#isStopped) throw error;
        await this.recover(epoch, failure);
      }
    }
  }

  /**
   * Call it after a mark was set. Then no epoch that this server does not know had begun when the mark was set: whatever
   * was made before `epoch.since` is to be refused, and of whatever was made later the mark is where everybody looks.
   */
  async settle(): Promise<void> {
    const markedAtMs = performance.now();
    while (this.#view.readAtMs < markedAtMs && performance.now() - this.#view.readAtMs > PLACE_VIEW_MS) {
      await this.refresh();
    }
    // Nothing that was made by now counts in an epoch that has not begun: who is refused now would be refused again.
    const leftMs = Math.ceil(this.#view.beginsAtMs - performance.now());
    if (leftMs > 0) await sleep(Math.min(leftMs, BEGIN_WAIT_MS_MAX));
  }

  /** Reads the row; callers share a reading that is under way. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    const stored = await readView(this.#options.epochs);
    const { epoch, readAtMs } = this.#view;
    const isOther = stored.epoch.id !== epoch.id;
    if (isOther && stored.readAtMs > readAtMs && stored.epoch.since < epoch.since) return this.#outlive(stored.epoch);
    this.#adopt(stored);
  }

  /** PostgreSQL went back in time (a restored backup, a failover that lost commits): so may the row, never the memory. */
  async #outlive(stored: MemoryEpoch): Promise<void> {
    this.#options.log.error(
      { epoch: stored.id, since: stored.since, known: this.#view.epoch.since },
      'PostgreSQL lost what it had committed: it was restored, or failed over to a standby that was behind',
    );
    await this.#begin(stored, stored.place);
  }

  /** From now on this server moves nothing: what fails while it closes its connections says nothing about them. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Brings this server to an epoch that works, after an operation in `failed` met `failure`. */
  recover(failed: MemoryEpoch, failure: MemoryFailure): Promise<void> {
    if (this.#isStopped || this.#view.epoch.id !== failed.id) return Promise.resolve();
    const known = this.#recovering.get(failed.id);
    if (known !== undefined) return known;
    const recovering = this.#recover(failed, failure).finally(() => this.#recovering.delete(failed.id));
    this.#recovering.set(failed.id, recovering);
    return recovering;
  }

  async #recover(failed: MemoryEpoch, failure: MemoryFailure): Promise<void> {
    // A reading that is under way may have begun before another server wrote.
    await this.#reading?.catch(() => {});
    await this.refresh();
    const recovery = recoveryFrom(failed, this.#view.epoch, failure);
    if (recovery.step === 'begin') await this.#begin(failed, recovery.place);
  }

  /** Moves the memory back to Redis, unless another server did; rejects, and leaves it, if Redis cannot be used after all. */
  async returnToRedis(): Promise<void> {
    const old = this.#view.epoch;
    await this.#replace(old, await seeded(this.#options, 'redis'));
  }

  async #begin(old: MemoryEpoch, place: Place): Promise<void> {
    await this.#replace(old, await prepare(this.#options, place));
  }

  async #replace(old: MemoryEpoch, next: NewEpoch): Promise<void> {
    const { epochs, places, log, announce } = this.#options;
    // First, where that is quick: who still goes by the old epoch then finds it lost, and looks.
    const isDead = old.place === 'redis' && next.place === 'postgres';
    if (!isDead) await places[old.place].drop(old.id);
    const isOurs = await epochs.replace(old.id, next);
    const stored = await readView(epochs);
    this.#adopt(stored);
    if (!isOurs) {
      await places[next.place].drop(next.id).catch(() => {});
      return;
    }
    log.warn(
      { from: old.place, to: next.place, since: stored.epoch.since },
      'what may be lost begins anew: sign-ins under way start again, and proofs older than this are refused',
    );
    announce();
    if (isDead) places[old.place].drop(old.id).catch(() => {});
  }

  #adopt(stored: View): void {
    // Asked before the view of now was: it may be older, and never younger.
    if (stored.readAtMs < this.#view.readAtMs) return;
    const before = this.#view.epoch;
    this.#view = stored;
    if (before.id !== stored.epoch.id) this.setbacks = setbacksAfter(before, stored.epoch, this.setbacks);
  }
}

/** A new epoch at `place`; in PostgreSQL where Redis cannot be used. */
async function prepare(options: KeeperOptions, place: Place): Promise<NewEpoch> {
  try {
    return await seeded(options, place);
  } catch (error) {
    if (place === 'postgres' || memoryFailureOf(error) === undefined) throw error;
    options.log.error({ err: error }, 'Redis cannot be used; what may be lost is kept in PostgreSQL until it can');
    return seeded(options, 'postgres');
  }
}

/** Marked where it will be before anybody is told of it. */
async function seeded({ places }: KeeperOptions, place: Place): Promise<NewEpoch> {
  const id = randomUUID();
  const servers = await places[place].servers();
  await places[place].seed(id);
  return { id, place, servers };
}

async function readView(epochs: MemoryEpochs): Promise<View> {
  const readAtMs = performance.now();
  const stored = await epochs.read();
  // Counted from after the answer, so that it is never too early.
  return { epoch: stored.epoch, readAtMs, beginsAtMs: performance.now() + stored.beginsInMs };
}
