import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import { type LeaseClaims, type LeaseRefusal, verifyLease } from '../wire/lease.ts';
import { atMostEvery } from './at_most_every.ts';
import type { DecisionPoint } from './decision_point.ts';
import { type HeldLease, type Instant, instant } from './held_lease.ts';
import type { IssuerKeys } from './issuer_keys.ts';
import { LEASE_PAUSE_MS, LEASE_RETRY_MS, LEASE_RETRY_MS_MAX, UNKNOWN_KEY_MS_MIN } from './limits.ts';

const NONCE_BYTES = 16;

export interface LeaseLoopOptions {
  readonly issuer: string;
  readonly resource: string;
  readonly point: Pick<DecisionPoint, 'lease'>;
  readonly held: HeldLease;
  readonly keys: IssuerKeys;
  /** One long-poll. */
  readonly waitSeconds: number;
  readonly closing: AbortSignal;
  readonly log: Logger;
}

/** Keeps the lease: asks, verifies, takes in, and asks again. */
export class LeaseLoop {
  readonly #options: LeaseLoopOptions;
  readonly #first = Promise.withResolvers<void>();
  #isStarted = false;
  #isUrgent = false;
  #interrupt = new AbortController();
  /** Told when the request that begins next has ended. */
  #waiting: (() => void)[] = [];
  #refusals = 0;
  /** In a row. */
  #failures = 0;
  /** Asks now instead of after the wait that is under way; at most once a second. Resolves when it was tried. */
  readonly renew = atMostEvery(UNKNOWN_KEY_MS_MIN, () => this.#askNow());

  constructor(options: LeaseLoopOptions) {
    this.#options = options;
  }

  /** Begins to hold leases; resolves with the first, or when the guard closes. */
  start(): Promise<void> {
    if (!this.#isStarted) void this.#run();
    this.#isStarted = true;
    return this.#first.promise;
  }

  #askNow(): Promise<void> {
    if (!this.#isStarted || this.#options.closing.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#isUrgent = true;
      this.#interrupt.abort();
    });
  }

  async #run(): Promise<void> {
    const { closing } = this.#options;
    let retryMs = LEASE_RETRY_MS;
    while (!closing.aborted) {
      const told = this.#waiting;
      this.#waiting = [];
      const seconds = this.#nextWait();
      this.#isUrgent = false;
      this.#interrupt = new AbortController();
      const startedAt = performance.now();
      const claims = await this.#ask(seconds);
      for (const tell of told) tell();
      if (claims !== null) {
        retryMs = LEASE_RETRY_MS;
        this.#first.resolve();
        // A server that is about to end answers at once, and is asked once more before others take over.
        const isEarly = performance.now() - startedAt < seconds * 500 && claims.revocations.length === 0;
        if (isEarly) await this.#pause(LEASE_PAUSE_MS);
      } else if (!this.#interrupt.signal.aborted) {
        await this.#pause(retryMs);
        retryMs = Math.min(retryMs * 2, LEASE_RETRY_MS_MAX);
      }
    }
    this.#first.resolve();
    for (const tell of this.#waiting.splice(0)) tell();
  }

  /** After a failure nothing is waited for: what matters then is to hear from the server at all. */
  #nextWait(): number {
    const { held, waitSeconds } = this.#options;
    const mayWait = !this.#isUrgent && this.#failures === 0 && !held.isResyncing && held.cursor !== null;
    return mayWait ? waitSeconds : 0;
  }

  async #ask(seconds: number): Promise<LeaseClaims | null> {
    const { point, held, closing } = this.#options;
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const interrupt = this.#interrupt.signal;
    const sentAt = instant();
    try {
      const signal = AbortSignal.any([closing, interrupt]);
      const answer = await point.lease({ nonce, seconds, cursor: held.cursor }, signal);
      if (answer.ok) return await this.#take(answer.value.lease, nonce, sentAt, instant());
      this.#fail({ refusal: answer.refusal.code }, `the server gives this guard no lease: ${answer.refusal.message}`);
    } catch (error) {
      if (!interrupt.aborted && !closing.aborted) this.#fail({ error }, 'no lease could be had; trying again');
    }
    return null;
  }

  async #take(text: string, nonce: string, sentAt: Instant, receivedAt: Instant): Promise<LeaseClaims | null> {
    const { issuer, resource, keys, held, log } = this.#options;
    const now = new Date(receivedAt.wallMs);
    const verified = await verifyLease(text, { issuer, resource, nonce, keys: keys.find, now });
    if (!verified.ok) {
      const { serverTime } = verified.refusal;
      if (serverTime !== undefined) held.noteClock(serverTime, receivedAt, receivedAt.steadyMs - sentAt.steadyMs);
      return this.#refuse(verified.refusal);
    }
    const taken = held.take(verified.value, sentAt, receivedAt);
    if (!taken.ok) return this.#refuse(taken.refusal);
    if (this.#failures > 0) log.info({ attempts: this.#failures }, 'a lease was had again');
    this.#failures = 0;
    refreshKeys(this.#options, verified.value);
    return verified.value;
  }

  #refuse(problem: LeaseRefusal): null {
    this.#refusals += 1;
    this.#failures += 1;
    const fields = { reason: problem.code, refused_leases: this.#refusals };
    this.#options.log.warn(fields, `a lease was refused: ${problem.message}`);
    return null;
  }

  #fail(fields: object, message: string): void {
    this.#failures += 1;
    // Once per outage; what it leads to is logged with every call that is refused.
    if (this.#failures === 1) this.#options.log.warn(fields, message);
    else this.#options.log.debug(fields, message);
  }

  async #pause(ms: number): Promise<void> {
    const signal = AbortSignal.any([this.#options.closing, this.#interrupt.signal]);
    await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
  }
}

/** Keys that verify from now on are read before a token needs them. */
function refreshKeys({ keys, log }: LeaseLoopOptions, claims: LeaseClaims): void {
  const isChanged = claims.revocations.some(({ what }) => what === 'keys' || what === 'key');
  if (!isChanged && claims.keys.every((kid) => keys.has(kid))) return;
  keys.refresh().catch((error: unknown) => log.warn({ error }, 'the changed keys of the issuer could not be read yet'));
}
