import { sql } from 'kysely';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { append } from './append.ts';
import { CHECKPOINTS_KEPT_WHOLE_DAYS, PRUNE_EVENTS_MAX } from './limits.ts';
import { moveLogStart, readExported, readLogStart } from './retention.ts';

/**
 * Deletes the sealed events that are older than `days` and were exported, up to a checkpoint. That checkpoint stays, with its
 * frontier: the remaining log goes on from it and verifies, and an older export and a newer one verify as one chain.
 * Answers how many events it deleted.
 */
export async function pruneEvents(store: Store, days: number): Promise<number> {
  const start = await readLogStart(store.db);
  const boundary = await findBoundary(store, days, await readExported(store.db));
  if (boundary > start) {
    await transact(store, async (tx, afterCommit) => {
      // Before anything is deleted: an export that begins now leaves out what may be gone when it gets there.
      await moveLogStart(tx, boundary);
      await append(store, tx, afterCommit, { kind: 'log.pruned', ids: { from: start, before: boundary } });
    });
  }
  let deleted = 0;
  // Also what a process that was killed here had left to delete.
  for (;;) {
    const batch = await deleteBefore(store, Math.max(boundary, start));
    deleted += batch;
    if (batch < PRUNE_EVENTS_MAX) break;
  }
  await store.db.deleteFrom('checkpoints').where('size', '<', Math.max(boundary, start)).execute();
  return deleted;
}

/** No event is younger than the checkpoint that covers it, so the age of checkpoints is all that is asked for. */
async function findBoundary(store: Store, days: number, exported: number): Promise<number> {
  const row = await store.db
    .selectFrom('checkpoints')
    .select('size')
    .where('size', '<=', exported)
    .where('at', '<', sql<Date>`now() - make_interval(days => ${days})`)
    .orderBy('size', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.size ?? 0;
}

async function deleteBefore(store: Store, position: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from events where position in (
      select position from events where position < ${position} order by position limit ${PRUNE_EVENTS_MAX}
    )`.execute(store.db);
  return Number(numAffectedRows ?? 0n);
}

/**
 * Keeps one checkpoint of each hour: of those older than a day, the last one. Every later checkpoint covers what they did.
 * Stays clear of the start of the log, of the newest one, and of those where one key hands over to the next, which both sign. Answers how many it deleted.
 */
export async function thinCheckpoints(store: Store): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from checkpoints where size in (
      select size from (
        select size, at, lead(at) over (order by size) as next_at from checkpoints
        where at < now() - make_interval(days => ${CHECKPOINTS_KEPT_WHOLE_DAYS})
      ) as old
      where date_trunc('hour', at) = date_trunc('hour', next_at)
        and size <> ${await readLogStart(store.db)} and size <> ${await readExported(store.db)}
        and size not in (select size from checkpoints where note like E'%\n— %\n— %')
      limit ${PRUNE_EVENTS_MAX}
    )`.execute(store.db);
  return Number(numAffectedRows ?? 0n);
}
