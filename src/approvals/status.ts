import type { Selectable } from 'kysely';
import { z } from 'zod';
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

const cacheEntrySchema = z.object({ tool_server: z.string(), status: stepUpStatusSchema });

const cacheKey = (stepUpId: string) => `grant:${stepUpId}`;

// A cache and a wake-up: when the store cannot be asked, PostgreSQL is, and waiters find out by polling.

/**
 * Caches a positive answer for polls, for as long as the grant lives. It never authorizes a run: redeeming asks
 * PostgreSQL (invariant 1), so a forged or outlived entry costs one refused redemption.
 */
export async function cacheApproved(
  store: Store,
  row: Parameters<typeof statusOf>[1] & Pick<StepUpRow, 'tool_server_id'>,
  grantExpiresAt: Date,
): Promise<void> {
  const ttlMs = grantExpiresAt.getTime() - Date.now();
  const entry = { tool_server: row.tool_server_id, status: statusOf(store, row) };
  await store.ephemeral
    .put(cacheKey(row.id), JSON.stringify(entry), ttlMs)
    .catch(unasked(store, 'an approval was not cached'));
}

/** For the guard of this tool server, which learns of no other's step-ups; null for whoever may see all. */
export async function cachedStatus(
  store: Store,
  stepUpId: string,
  toolServerId: string | null,
): Promise<StepUpStatus | undefined> {
  const text = await store.ephemeral.get(cacheKey(stepUpId)).catch(unasked(store, 'the cache was not asked'));
  return text === undefined ? undefined : parseStatus(text, stepUpId, toolServerId);
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
function parseStatus(text: string, stepUpId: string, toolServerId: string | null): StepUpStatus | undefined {
  try {
    const entry = cacheEntrySchema.safeParse(JSON.parse(text));
    if (!entry.success || (toolServerId !== null && entry.data.tool_server !== toolServerId)) return undefined;
    const { status } = entry.data;
    return status.step_up_id === stepUpId && status.state === 'approved' ? status : undefined;
  } catch {
    return undefined;
  }
}
