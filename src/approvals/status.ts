import type { Selectable } from 'kysely';
import type { StepUpsTable } from '../store/postgres/tables.ts';
import type { Store, Tx } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import { type StepUpStatus, stepUpStatusSchema } from '../wire/guard_api.ts';

export type StepUpRow = Selectable<StepUpsTable>;

/** What guards and pages are told of a step-up. The address carries an id only; opening it needs a signed-in person. */
export function statusOf(store: Store, row: Pick<StepUpRow, 'id' | 'state' | 'reason' | 'expires_at'>): StepUpStatus {
  return {
    step_up_id: row.id,
    state: row.state,
    reason: row.reason,
    expires_at: row.expires_at.toISOString(),
    approval_url: `${store.issuer}/step-ups/${row.id}`,
  };
}

export async function findStepUp(db: Tx | Store['db'], id: string): Promise<StepUpRow | undefined> {
  return db.selectFrom('step_ups').selectAll().where('id', '=', id).executeTakeFirst();
}

const cacheKey = (stepUpId: string) => `grant:${stepUpId}`;

// A cache and a wake-up: when the store cannot be asked, PostgreSQL is, and waiters find out by polling.

/**
 * Caches a positive answer for polls, for as long as the grant lives. It never authorizes a run: redeeming asks
 * PostgreSQL (invariant 1), so a forged or outlived entry costs one refused redemption.
 */
export async function cacheApproved(store: Store, status: StepUpStatus, grantExpiresAt: Date): Promise<void> {
  const ttlMs = grantExpiresAt.getTime() - Date.now();
  await store.ephemeral
    .put(cacheKey(status.step_up_id), JSON.stringify(status), ttlMs)
    .catch(unasked(store, 'an approval was not cached'));
}

export async function cachedStatus(store: Store, stepUpId: string): Promise<StepUpStatus | undefined> {
  const text = await store.ephemeral.get(cacheKey(stepUpId)).catch(unasked(store, 'the cache was not asked'));
  return text === undefined ? undefined : parseStatus(text, stepUpId);
}

export async function forgetCached(store: Store, stepUpId: string): Promise<void> {
  await store.ephemeral
    .delete(cacheKey(stepUpId))
    .catch(unasked(store, 'an approval may outlive its grant in the cache'));
}

export async function wakeStepUp(store: Store, stepUpId: string): Promise<void> {
  await store.ephemeral
    .publish(CHANNELS.stepUp(stepUpId), 'changed')
    .catch(unasked(store, 'those who wait for a step-up were not woken'));
}

function unasked({ log }: Pick<Store, 'log'>, what: string) {
  return (error: unknown): undefined => {
    log.warn({ err: error }, what);
  };
}

/** What somebody else wrote under our keys counts as nothing. */
function parseStatus(text: string, stepUpId: string): StepUpStatus | undefined {
  try {
    const status = stepUpStatusSchema.safeParse(JSON.parse(text));
    return status.success && status.data.step_up_id === stepUpId && status.data.state === 'approved'
      ? status.data
      : undefined;
  } catch {
    return undefined;
  }
}
