import { sql } from 'kysely';
import { append } from '../events/append.ts';
import type { Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { PRUNE_STEP_UPS_MAX } from './limits.ts';

/**
 * Deletes step-ups that ended more than `days` ago, with their decisions, grants and redemptions; the key of their arguments
 * goes with them. Then the tasks that ended as long ago and have nothing left. Never what is undecided, may still be used,
 * or would be replayed or refused again. Answers how many step-ups and tasks it deleted.
 */
export async function pruneStepUps(store: Store, days: number): Promise<{ stepUps: number; tasks: number }> {
  const seconds = retentionSeconds(store, days);
  const stepUps = await inBatches((tx) => deleteStepUps(tx, seconds), store);
  const tasks = await inBatches((tx) => deleteTasks(tx, seconds), store);
  return { stepUps, tasks };
}

const SECONDS_PER_DAY = 86_400;

function retentionSeconds({ rules }: Store, days: number): number {
  return Math.max(days * SECONDS_PER_DAY, rules.replayWindowSeconds, rules.denialCooldownSeconds);
}

type Deleted = { readonly what: 'step_ups' | 'tasks'; readonly count: number };

async function inBatches(work: (tx: Tx) => Promise<Deleted>, store: Store): Promise<number> {
  let total = 0;
  for (;;) {
    const { count } = await transact(store, async (tx, afterCommit) => {
      const deleted = await work(tx);
      if (deleted.count > 0) await append(store, tx, afterCommit, { kind: 'records.pruned', ids: { ...deleted } });
      return deleted;
    });
    total += count;
    if (count < PRUNE_STEP_UPS_MAX) return total;
  }
}

async function deleteStepUps(tx: Tx, seconds: number): Promise<Deleted> {
  const past = before(seconds);
  const found = await tx
    .selectFrom('step_ups as s')
    .select('s.id')
    .where('s.created_at', '<', past)
    .where('s.decided_at', '<', past)
    .where('s.state', 'not in', ['registered', 'open'])
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('grants as g')
            .select('g.id')
            .whereRef('g.step_up_id', '=', 's.id')
            .where('g.revoked_at', 'is', null)
            .whereRef('g.uses', '<', 'g.max_uses')
            .where('g.expires_at', '>', past),
        ),
      ),
    )
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('redemptions as r')
            .select('r.id')
            .whereRef('r.step_up_id', '=', 's.id')
            .where('r.redeemed_at', '>=', past),
        ),
      ),
    )
    .orderBy('s.created_at')
    .limit(PRUNE_STEP_UPS_MAX)
    .forUpdate('s')
    .skipLocked()
    .execute();
  const ids = found.map((row) => row.id);
  if (ids.length === 0) return { what: 'step_ups', count: 0 };
  for (const table of ['redemptions', 'grants', 'decisions'] as const) {
    await tx.deleteFrom(table).where('step_up_id', 'in', ids).execute();
  }
  await tx.deleteFrom('step_ups').where('id', 'in', ids).execute();
  return { what: 'step_ups', count: ids.length };
}

// Not `clock_timestamp()`, which no index can be searched by; the start of the transaction is earlier, so nothing goes too soon.
function before(seconds: number) {
  return sql<Date>`now() - make_interval(secs => ${seconds})`;
}

/** A parent stays as long as its children do, so a tree goes from its leaves, one level a round. */
async function deleteTasks(tx: Tx, seconds: number): Promise<Deleted> {
  const past = before(seconds);
  const found = await tx
    .selectFrom('tasks as t')
    .select('t.id')
    .where('t.expires_at', '<', past)
    .where((where) =>
      where.not(where.exists(where.selectFrom('step_ups as s').select('s.id').whereRef('s.task_id', '=', 't.id'))),
    )
    // Two, since an `or` between them would read every task for each.
    .where((where) =>
      where.not(where.exists(where.selectFrom('tasks as c').select('c.id').whereRef('c.parent_id', '=', 't.id'))),
    )
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('tasks as c')
            .select('c.id')
            .whereRef('c.root_id', '=', 't.id')
            .whereRef('c.id', '<>', 't.id'),
        ),
      ),
    )
    .orderBy('t.expires_at')
    .limit(PRUNE_STEP_UPS_MAX)
    .forUpdate('t')
    .skipLocked()
    .execute();
  const ids = found.map((row) => row.id);
  if (ids.length === 0) return { what: 'tasks', count: 0 };
  await tx.deleteFrom('task_budgets').where('task_id', 'in', ids).execute();
  await tx.deleteFrom('delegations').where('task_id', 'in', ids).execute();
  await tx.deleteFrom('tasks').where('id', 'in', ids).execute();
  return { what: 'tasks', count: ids.length };
}
