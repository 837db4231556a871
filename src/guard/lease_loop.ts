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

export interface LeaseLoop {
  /** Begins to hold leases; resolves with the first, or when the guard closes. */
  start(): Promise<void>;
  /** Asks now instead of after the wait that is under way; at most once a second. Resolves when it was tried. */
  renew(): Promise<void>;
}

/** Keeps the lease: asks, verifies, takes in, and asks again. */
export function leaseLoop(options: LeaseLoopOptions): LeaseLoop {
  const { held, closing, log } = options;
  const first = Promise.withResolvers<void>();
  let isStarted = false;
  let isUrgent = false;
  let interrupt = new AbortController();
  let waiting: (() => void)[] = [];
  let refusals = 0;
  let failures = 0;

  const fail = (fields: object, message: string): void => {
    failures += 1;
    // Once per outage; what it leads to is logged with every call that is refused.
    if (failures === 1) log.warn(fields, message);
    else log.debug(fields, message);
  };
  const refuse = (problem: LeaseRefusal): void => {
    refusals += 1;
    failures += 1;
    log.warn({ reason: problem.code, refused_leases: refusals }, `a lease was refused: ${problem.message}`);
  };
  const take = async (
    text: string,
    nonce: string,
    sentAt: Instant,
    receivedAt: Instant,
  ): Promise<LeaseClaims | null> => {
    const { issuer, resource, keys } = options;
    const now = new Date(receivedAt.wallMs);
    const verified = await verifyLease(text, { issuer, resource, nonce, keys: keys.find, now });
    if (!verified.ok) {
      const { serverTime } = verified.refusal;
      if (serverTime !== undefined) held.noteClock(serverTime, receivedAt, receivedAt.steadyMs - sentAt.steadyMs);
      refuse(verified.refusal);
      return null;
    }
    const taken = held.take(verified.value, sentAt, receivedAt);
    if (!taken.ok) refuse(taken.refusal);
    return taken.ok ? verified.value : null;
  };
  const ask = async (seconds: number): Promise<LeaseClaims | null> => {
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const sentAt = instant();
    try {
      const signal = AbortSignal.any([closing, interrupt.signal]);
      const answer = await options.point.lease({ nonce, seconds, cursor: held.cursor }, signal);
      if (answer.ok) return await take(answer.value.lease, nonce, sentAt, instant());
      fail({ refusal: answer.refusal.code }, `the server gives this guard no lease: ${answer.refusal.message}`);
    } catch (error) {
      if (!interrupt.signal.aborted) fail({ error }, 'no lease could be had; trying again');
    }
    return null;
  };
  const run = async (): Promise<void> => {
    let retryMs = LEASE_RETRY_MS;
    while (!closing.aborted) {
      const told = waiting;
      waiting = [];
      // After a failure nothing is waited for: what matters is to hear from the server at all.
      const isWaiting = !isUrgent && failures === 0 && !held.isResyncing && held.cursor !== null;
      const seconds = isWaiting ? options.waitSeconds : 0;
      isUrgent = false;
      interrupt = new AbortController();
      const startedAt = performance.now();
      const claims = await ask(seconds);
      for (const tell of told) tell();
      if (claims !== null) {
        if (failures > 0) log.info({ attempts: failures }, 'a lease was had again');
        failures = 0;
        retryMs = LEASE_RETRY_MS;
        first.resolve();
        refreshKeys(options, claims);
        // A server that is about to end answers at once, and is asked once more before others take over.
        const isEarly = seconds > 0 && performance.now() - startedAt < seconds * 500 && claims.revocations.length === 0;
        if (isEarly) await pause(LEASE_PAUSE_MS);
      } else if (!interrupt.signal.aborted) {
        await pause(retryMs);
        retryMs = Math.min(retryMs * 2, LEASE_RETRY_MS_MAX);
      }
    }
    first.resolve();
    for (const tell of waiting.splice(0)) tell();
  };
  const pause = (ms: number): Promise<void> =>
    sleep(ms, undefined, { signal: AbortSignal.any([closing, interrupt.signal]), ref: false }).catch(() => {});

  return {
    start() {
      if (!isStarted) void run();
      isStarted = true;
      return first.promise;
    },
    renew: atMostEvery(UNKNOWN_KEY_MS_MIN, () => {
      if (!isStarted || closing.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        waiting.push(resolve);
        isUrgent = true;
        interrupt.abort();
      });
    }),
  };
}

/** Keys that verify from now on are read before a token needs them. */
function refreshKeys({ keys, log }: LeaseLoopOptions, claims: LeaseClaims): void {
  const isChanged = claims.revocations.some(({ what }) => what === 'keys' || what === 'key');
  if (!isChanged && claims.keys.every((kid) => keys.has(kid))) return;
  keys.refresh().catch((error: unknown) => log.warn({ error }, 'the changed keys of the issuer could not be read yet'));
}
