import { accepted, type Result, refused } from '../kernel/result.ts';
import type { LeaseClaims, LeaseRefusal, Revocation } from '../wire/lease.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { BoundedMap } from './bounded_map.ts';
import { CLOCK_OFFSET_MS_MAX, REVOKED_KEPT_MS, REVOKED_MAX, REVOKED_TOLERANCE_SECONDS } from './limits.ts';

/** A moment by both clocks: the wall clock can be set, the steady one stands still while a machine sleeps. */
export interface Instant {
  readonly wallMs: number;
  readonly steadyMs: number;
}

export function instant(): Instant {
  return { wallMs: Date.now(), steadyMs: performance.now() };
}

/** What a token names that may be revoked. */
export interface TokenNames {
  readonly jti: string;
  readonly requester: string;
  readonly agents: readonly string[];
  readonly tasks: readonly string[];
  readonly delegations: readonly string[];
  readonly kid: string;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
}

export interface SilenceAllowed {
  readonly gatedSeconds: number;
  readonly allSeconds: number;
}

interface Held {
  readonly claims: LeaseClaims;
  readonly keys: ReadonlySet<string>;
  /** The server made it at this moment or later. */
  readonly heardAt: Instant;
}

interface Clock {
  readonly offsetMs: number;
  /** Half the round trip: where in it the server looked at its clock is not known. */
  readonly uncertainMs: number;
}

/** Named things that never come back; an agent may be active again, and a person. */
const DEAD_FOR_EVER: ReadonlySet<string> = new Set(['token', 'task', 'key', 'delegation', 'grant']);
const LIVES_AGAIN: ReadonlySet<string> = new Set(['agent', 'person']);
const CHANGED: ReadonlySet<string> = new Set(['keys', 'policy', 'tool_server']);

/** What a guard knows by its leases: what was revoked, which keys verify, and whether it may rely on either now. */
export class HeldLease {
  readonly #silence: SilenceAllowed;
  readonly #forget: () => void;
  readonly #revoked = new BoundedMap<number>(REVOKED_MAX);
  #held: Held | null = null;
  #clock: Clock | null = null;
  #isResyncing = false;

  /** `forget` drops everything remembered of tokens. */
  constructor(silence: SilenceAllowed, forget: () => void) {
    this.#silence = silence;
    this.#forget = forget;
  }

  /** Where the next request goes on from. */
  get cursor(): Pick<LeaseClaims, 'epoch' | 'position' | 'head'> | null {
    return this.#held?.claims ?? null;
  }

  /** Whether the server asks for nonces in the proofs of callers. */
  get areNoncesRequired(): boolean {
    return this.#held?.claims.dpop_nonces === true;
  }

  get isResyncing(): boolean {
    return this.#isResyncing;
  }

  /** Takes in a verified lease; refuses one that is older than what is held. */
  take(claims: LeaseClaims, sentAt: Instant, receivedAt: Instant): Result<null, LeaseRefusal> {
    const before = this.#held?.claims;
    const isOtherLog = before !== undefined && before.epoch !== claims.epoch;
    const isResync = isOtherLog || claims.resync === true;
    if (before !== undefined && !isResync) {
      if (claims.serial < before.serial)
        return older('serial', `Its serial ${claims.serial} is below ${before.serial}.`);
      if (claims.position < before.position) {
        return older(
          'position',
          `Its position ${claims.position} is below ${before.position}, and it says nothing of it.`,
        );
      }
    }
    const roundTripMs = Math.max(0, receivedAt.steadyMs - sentAt.steadyMs - claims.waited * 1000);
    this.noteClock(new Date(claims.server_time * 1000), receivedAt, roundTripMs);
    const heardAt = {
      wallMs: receivedAt.wallMs - roundTripMs,
      steadyMs: receivedAt.steadyMs - roundTripMs,
    };
    this.#held = { claims, keys: new Set(claims.keys), heardAt };
    // What was remembered before the first lease was remembered without knowing of revocations.
    if (before === undefined || isResync) this.#forget();
    // The next lease must continue this one before anything that needs approval runs.
    this.#isResyncing = before !== undefined && isResync;
    for (const revocation of claims.revocations) this.#add(revocation, receivedAt.wallMs);
    return accepted(null);
  }

  /** The difference of the clocks, from a time that the server signed. */
  noteClock(serverTime: Date, receivedAt: Instant, roundTripMs: number): void {
    const uncertainMs = roundTripMs / 2;
    this.#clock = { offsetMs: serverTime.getTime() - (receivedAt.wallMs - uncertainMs), uncertainMs };
  }

  /** Whether this key verifies access tokens. Before the first lease only the issuer's key set says. */
  allowsKey(kid: string): boolean {
    return this.#held === null || this.#held.keys.has(kid);
  }

  isRevoked(token: TokenNames, now: number): boolean {
    if (this.#revoked.size === 0) return false;
    const at = (what: string, id: string) => this.#revoked.get(`${what} ${id}`, now);
    if (at('token', token.jti) !== undefined || at('key', token.kid) !== undefined) return true;
    if (token.tasks.some((id) => at('task', id) !== undefined)) return true;
    if (token.delegations.some((id) => at('delegation', id) !== undefined)) return true;
    const until = Math.max(at('person', token.requester) ?? 0, ...token.agents.map((id) => at('agent', id) ?? 0));
    return token.issuedAt <= until + REVOKED_TOLERANCE_SECONDS;
  }

  /** Why no call at all may run now, or none that needs approval; null if it may. */
  problem(what: 'all' | 'gated', now: Instant): Refusal | null {
    if (this.#held === null) {
      return this.#clockProblem() ?? unheard('This tool server has not heard from its Countersign server yet.');
    }
    const { claims, heardAt } = this.#held;
    const silentMs = Math.max(now.steadyMs - heardAt.steadyMs, now.wallMs - heardAt.wallMs);
    const silent = `This tool server has heard nothing from its Countersign server for ${Math.floor(silentMs / 1000)} s, so it cannot know what was revoked since.`;
    const lifeMs = Math.min(this.#silence.allSeconds, claims.exp - claims.server_time) * 1000;
    if (silentMs > lifeMs) return unheard(`${silent} No call is allowed until it has.`);
    if (what === 'all') return null;
    if (this.#isResyncing) {
      return unheard(
        'This tool server is reading anew what was revoked, since the log of its Countersign server changed.',
      );
    }
    const clock = this.#clockProblem();
    if (clock !== null) return clock;
    if (silentMs <= this.#silence.gatedSeconds * 1000) return null;
    return unheard(`${silent} No call that needs approval is allowed until it has.`);
  }

  #clockProblem(): Refusal | null {
    if (this.#clock === null) return null;
    const { offsetMs, uncertainMs } = this.#clock;
    if (Math.abs(offsetMs) - uncertainMs <= CLOCK_OFFSET_MS_MAX) return null;
    const seconds = (Math.abs(offsetMs) / 1000).toFixed(1);
    return refusal(
      'clock_differs',
      `The clock of this tool server is ${seconds} s ${offsetMs < 0 ? 'ahead of' : 'behind'} that of its Countersign server. ` +
        'No call that needs approval is allowed, because what is expired cannot be told.',
    );
  }

  #add({ what, id, at }: Revocation, now: number): void {
    if (DEAD_FOR_EVER.has(what) || LIVES_AGAIN.has(what)) {
      this.#revoked.set(`${what} ${id}`, at, now + REVOKED_KEPT_MS);
    } else if (!CHANGED.has(what)) {
      // A newer server revokes something of which this guard does not know what it touches.
      this.#forget();
    }
  }
}

function older(code: 'serial' | 'position', message: string): Result<never, LeaseRefusal> {
  return refused({ code, message });
}

function unheard(message: string): Refusal {
  return refusal('unavailable', message);
}
