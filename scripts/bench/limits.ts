/** A run that only shows that everything still runs: its figures mean nothing, and are not written down. */
export const IS_QUICK = process.argv.includes('--quick');
const paced = (full: number, quick: number): number => (IS_QUICK ? quick : full);

/** Rounds of every comparison; the systems take turns in each, so that noise meets them alike. */
export const ROUNDS = paced(5, 1);
export const WARM_UP_MS = paced(1_500, 300);
export const ONE_CONNECTION_MS = paced(1_500, 300);
export const MANY_CONNECTIONS_MS = paced(2_000, 300);
export const MANY_CONNECTIONS = 16;
/** Of one run; client assertions are signed before the clock starts. */
export const REQUESTS_MAX = 6_000;
export const TOKEN_REQUESTS_MAX = paced(3_000, 500);
export const REQUEST_TIMEOUT_MS = 10_000;
export const READY_MS_MAX = 60_000;

export const CLICKS = paced(50, 3);
export const CLICKS_WARM_UP = paced(5, 1);

export const FIRST_STARTS = paced(3, 1);
export const LATER_STARTS = paced(3, 1);
export const READY_POLL_MS = 5;
/** How long a server idles before its memory is read. */
export const REST_MS = 3_000;

/** Servers at one PostgreSQL and Redis; each count is the one before and some more. */
export const NODE_COUNTS: readonly number[] = IS_QUICK ? [1, 2] : [1, 2, 4];
export const NODE_ROUNDS = paced(3, 1);
export const NODE_RUN_MS = paced(1_500, 300);
/** Signed before the clock starts, and good for a minute. */
export const NODE_REQUESTS_MAX = paced(1_500, 200);

/** Grants that are redeemed in turn, and how often each may be: more than there are redemptions at a time. */
export const APPROVED_FILES = paced(48, 20);
export const MANY_USES = 1_000_000;
export const REDEEM_ROUNDS = paced(7, 2);
export const REDEEM_RUN_MS = paced(1_500, 300);

export const GUARDS = 8;
/** Of each kind, with Redis and without. */
export const REVOCATIONS = paced(40, 4);
/** Between two looks at what a guard answers from memory. */
/** Agents that are offboarded, and what descends from each. */
export const OFFBOARDINGS = paced(30, 3);
export const DESCENDANTS = 1_000;

export const GUARD_POLL_MS = 2;
/** From one revocation to the next: guards hold a lease again. */
export const REVOCATION_PAUSE_MS = 50;

export const KILLS = paced(5, 1);
export const STEADY_PERIOD_MS = 50;
/** Of steady requests before a fault, so that what is usual is known, and after it, until all is as before. */
export const BEFORE_FAULT_MS = paced(2_000, 1_500);
export const AFTER_FAULT_MS = paced(8_000, 6_000);
export const FAULT_ROUNDS = paced(3, 1);

export const PENDING_STEP_UPS = paced(10_000, 2_000);
export const HELD_CALLS = paced(1_000, 200);
export const MEMORY_ROUNDS = 3;
/** How long held calls are held before their memory is read. */
export const HELD_MS = paced(4_000, 2_000);
