import type { JWK } from 'jose';
import type { LogFollower } from '../events/follow.ts';
import { RecentRevocations } from '../events/recent_revocations.ts';
import { changesKeys, weightiest } from '../events/revocations.ts';
import type { Logger } from '../kernel/logger.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { buildLease, type Revocation } from '../wire/lease.ts';
import { LEASE_REVOCATIONS_MAX, LEASE_SECONDS_MAX } from '../wire/limits.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/** Where the lease that a guard holds has brought it. */
export interface LeaseCursor {
  readonly epoch: string;
  readonly position: number;
  readonly head: string;
}

export interface LeaseRequest {
  readonly issuer: string;
  readonly toolServer: { readonly id: string; readonly resource: string };
  readonly nonce: string;
  /** Null for a guard that holds no lease. */
  readonly cursor: LeaseCursor | null;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

export interface LeaseSources {
  /** Follows at least `REVOKING_KINDS`; is started after this was made. */
  readonly follower: LogFollower;
  /** The private key that signs leases now, with its `kid`; it signs nothing else. */
  readonly signer: () => JWK;
  /** The ids of the keys that verify access tokens now. */
  readonly keys: () => readonly string[];
  /** Reads the keys anew; resolves when `keys` is what has committed. */
  readonly refreshKeys: () => Promise<void>;
  readonly log: Logger;
  /** Whether guards ask callers for nonces in their DPoP proofs. */
  readonly noncesRequired?: boolean;
}

/**
 * The leases of all guards that ask this process. They share one follower of the log, so that a guard to which nothing
 * happens costs no query; whoever waits is woken by memory alone.
 */
export class Leases {
  readonly #sources: LeaseSources;
  readonly #recent: RecentRevocations;
  readonly #waiting = new Set<() => void>();
  /** Rises with whatever every guard must hear of at once. */
  #generation = 0;

  constructor(sources: LeaseSources) {
    const { follower, log } = sources;
    this.#sources = sources;
    this.#recent = new RecentRevocations(follower);
    this.#recent.onChange(() => this.#wake());
    follower.onResync(() => this.keysChanged());
    follower.onEvents((events) => {
      if (!events.some(changesKeys)) return;
      // So that a lease that tells of the change carries the keys after it.
      sources
        .refreshKeys()
        .catch((error: unknown) => log.warn({ err: error }, 'the keys changed and cannot be read; tried again soon'))
        .finally(() => this.keysChanged());
    });
  }

  /** Every guard that waits is answered now. */
  keysChanged(): void {
    this.#generation += 1;
    this.#wake();
  }

  /** A lease for one guard: at once when there is something to tell it, else when its time is over. */
  async next(request: LeaseRequest): Promise<Result<string, Refusal>> {
    const { follower } = this.#sources;
    const startedAt = performance.now();
    let known = await this.#known(request.cursor);
    if (known.cursor !== null) await this.#untilNews(known.cursor, request);
    const problem = follower.problem();
    if (problem !== null) {
      return refused(refusal('unavailable', `${problem} What was revoked is not known, so no lease is given.`));
    }
    // The log may have turned into another one during the wait.
    if (known.generation !== this.#generation) known = await this.#known(request.cursor);
    return accepted(await this.#sign(request, known.cursor, (performance.now() - startedAt) / 1000));
  }

  /** The cursor if it is one of the log as it is now; null if the guard must start anew. */
  async #known(cursor: LeaseCursor | null): Promise<{ cursor: LeaseCursor | null; generation: number }> {
    while (true) {
      const generation = this.#generation;
      const isKnown = cursor !== null && (await this.#isOfThisLog(cursor));
      if (generation === this.#generation) return { cursor: isKnown ? cursor : null, generation };
    }
  }

  async #isOfThisLog({ epoch, position, head }: LeaseCursor): Promise<boolean> {
    const { follower } = this.#sources;
    if (epoch !== follower.head().epoch) return false;
    // Another process may have read further than this one.
    if (position > follower.head().position) await follower.catchUp();
    const now = follower.head();
    if (epoch !== now.epoch || position > now.position) return false;
    return position === now.position ? head === now.root : follower.hadRoot(position, head);
  }

  async #untilNews(cursor: LeaseCursor, { toolServer, waitMs, signal }: LeaseRequest): Promise<void> {
    const generation = this.#generation;
    const hasNews = () =>
      this.#generation !== generation || this.#concerning(cursor.position, toolServer.id)?.length !== 0;
    if (waitMs <= 0 || signal.aborted || hasNews()) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const look = () => {
        if (hasNews()) end();
      };
      const timer = setTimeout(end, waitMs);
      this.#waiting.add(look);
      signal.addEventListener('abort', end);
    });
  }

  /** What this tool server must hear of. Whose tokens a person, an agent or a task has is not known cheaply: all hear it. */
  #concerning(position: number, toolServerId: string): readonly Revocation[] | null {
    const all = this.#recent.since(position);
    return all?.filter((one) => one.what !== 'tool_server' || one.id === toolServerId) ?? null;
  }

  async #sign(request: LeaseRequest, cursor: LeaseCursor | null, waited: number): Promise<string> {
    const { follower, signer, keys, noncesRequired } = this.#sources;
    const head = follower.head();
    const missed = cursor === null ? null : this.#concerning(cursor.position, request.toolServer.id);
    const isMissing = missed === null || missed.length > LEASE_REVOCATIONS_MAX;
    const isResync = request.cursor !== null && isMissing;
    const revocations = isMissing ? this.#recent.touching(head.serverTime) : missed;
    return buildLease(
      {
        iss: request.issuer,
        aud: request.toolServer.resource,
        nonce: request.nonce,
        epoch: head.epoch,
        serial: head.position,
        position: head.position,
        head: head.root,
        waited,
        revocations: [...weightiest(revocations, LEASE_REVOCATIONS_MAX)],
        ...(isResync ? { resync: true as const } : {}),
        keys: [...keys()],
        ...(noncesRequired === true ? { dpop_nonces: true as const } : {}),
      },
      { key: signer(), serverTime: head.serverTime, lifetimeSeconds: LEASE_SECONDS_MAX },
    );
  }

  #wake(): void {
    for (const look of this.#waiting) look();
  }
}
