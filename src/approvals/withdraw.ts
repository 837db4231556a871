import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { appendAll } from '../events/append_all.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { WAKE_UPS_AT_A_TIME_MAX } from './limits.ts';
import { enqueue, enqueueAll } from './outbox.ts';
import { forgetCached, wakeStepUp } from './status.ts';

/**
 * The caller cancelled explicitly: an undecided step-up of this tool server is withdrawn. False if it was not undecided; true
 * again for one that was withdrawn so.
 */
export async function withdrawStepUp(
  store: Store,
  input: { readonly stepUpId: string; readonly toolServerId: string; readonly reason: string },
): Promise<boolean> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const row = await tx
      .updateTable('step_ups')
      .set({ state: 'withdrawn', reason: input.reason, decided_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', input.stepUpId)
      .where('tool_server_id', '=', input.toolServerId)
      .where('state', 'in', ['registered', 'open'])
      .returning('id')
      .executeTakeFirst();
    if (row === undefined) return wasWithdrawn(tx, input);
    await recordWithdrawal(store, tx, afterCommit, row.id);
    return true;
  });
}

async function wasWithdrawn(
  tx: Tx,
  input: { readonly stepUpId: string; readonly toolServerId: string; readonly reason: string },
): Promise<boolean> {
  const row = await tx
    .selectFrom('step_ups')
    .select('id')
    .where('id', '=', input.stepUpId)
    .where('tool_server_id', '=', input.toolServerId)
    .where('state', '=', 'withdrawn')
    .where('reason', '=', input.reason)
    .executeTakeFirst();
  if (row !== undefined) await assureDurable(tx);
  return row !== undefined;
}

/** What stands below delegations: nothing of it may be decided or used any more. */
export interface Withdrawn {
  readonly step_ups: number;
  readonly grants: number;
}

/**
 * Withdraws the undecided step-ups of these delegations and revokes their unused grants, however many, in the caller's
 * transaction. The caller holds FOR UPDATE on something that all of them descend from, so that nothing is added or
 * decided meanwhile; rows are locked by id, as everybody does who locks several.
 */
export async function withdrawBelow(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  below: { readonly delegationIds: readonly string[]; readonly reason: string },
): Promise<Withdrawn> {
  if (below.delegationIds.length === 0) return { step_ups: 0, grants: 0 };
  const { rows: stepUps } = await sql<{ id: string }>`select id from step_ups
    where delegation_id = any(${below.delegationIds}::text[]) and state in ('registered', 'open')
    order by id for update`.execute(tx);
  const withdrawn = await withdrawLocked(store, tx, afterCommit, { ids: idsOf(stepUps), reason: below.reason });
  const { rows: grants } = await sql<{ id: string }>`select g.id from grants g join step_ups s on s.id = g.step_up_id
    where s.delegation_id = any(${below.delegationIds}::text[]) and g.revoked_at is null and g.uses < g.max_uses
    order by g.id for update of g`.execute(tx);
  const revoked = await revokeLockedGrants(store, tx, afterCommit, idsOf(grants));
  return { step_ups: withdrawn, grants: revoked };
}

/** Of step-ups whose rows the caller locked, withdraws those that are undecided. Answers how many. */
export async function withdrawLocked(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  { ids, reason }: { readonly ids: readonly string[]; readonly reason: string },
): Promise<number> {
  if (ids.length === 0) return 0;
  const { rows } = await sql<{ id: string }>`update step_ups
    set state = 'withdrawn', reason = ${reason}, decided_at = clock_timestamp()
    where id = any(${ids}::text[]) and state in ('registered', 'open') returning id`.execute(tx);
  const withdrawn = idsOf(rows).sort();
  await appendAll(
    store,
    tx,
    afterCommit,
    withdrawn.map((id) => ({ kind: 'step_up.withdrawn', ids: { step_up: id } })),
  );
  await enqueueAll(store, tx, afterCommit, { kind: 'step_up.decided', stepUpIds: withdrawn });
  afterCommit(() => inBatches(withdrawn, (id) => wakeStepUp(store, id)));
  return withdrawn.length;
}

/** Of grants whose rows the caller locked, revokes those that have uses left. Answers how many. */
export async function revokeLockedGrants(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  ids: readonly string[],
): Promise<number> {
  if (ids.length === 0) return 0;
  const { rows } = await sql<{ id: string; step_up_id: string }>`update grants set revoked_at = clock_timestamp()
    where id = any(${ids}::text[]) and revoked_at is null and uses < max_uses returning id, step_up_id`.execute(tx);
  await appendAll(
    store,
    tx,
    afterCommit,
    rows.map((row) => ({ kind: 'grant.revoked', ids: { grant: row.id, step_up: row.step_up_id } })),
  );
  afterCommit(() => inBatches(rows, (row) => grantIsGone(store, row.step_up_id)));
  return rows.length;
}

/** A grant that somebody named: its event says who, and why. */
export async function revokeLockedGrant(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  grant: { readonly id: string; readonly stepUpId: string; readonly by: Acting; readonly said: string | null },
): Promise<void> {
  await sql`update grants set revoked_at = clock_timestamp() where id = ${grant.id}`.execute(tx);
  await append(store, tx, afterCommit, {
    kind: 'grant.revoked',
    ids: { grant: grant.id, step_up: grant.stepUpId, ...actingIds(grant.by) },
    ...(grant.said === null ? {} : { personal: { reason: grant.said } }),
  });
  afterCommit(() => grantIsGone(store, grant.stepUpId));
}

async function grantIsGone(store: Store, stepUpId: string): Promise<void> {
  await forgetCached(store, stepUpId);
  await wakeStepUp(store, stepUpId);
}

async function inBatches<Item>(items: readonly Item[], effect: (item: Item) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += WAKE_UPS_AT_A_TIME_MAX) {
    await Promise.all(items.slice(from, from + WAKE_UPS_AT_A_TIME_MAX).map(effect));
  }
}

function idsOf(rows: readonly { readonly id: string }[]): string[] {
  return rows.map(({ id }) => id);
}

async function recordWithdrawal(store: Store, tx: Tx, afterCommit: AfterCommit, stepUpId: string): Promise<void> {
  await append(store, tx, afterCommit, { kind: 'step_up.withdrawn', ids: { step_up: stepUpId } });
  await enqueue(store, tx, afterCommit, { kind: 'step_up.decided', stepUpId });
  afterCommit(() => wakeStepUp(store, stepUpId));
}
