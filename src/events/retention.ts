import { sql } from 'kysely';
import type { Store, Tx } from '../store/store.ts';

/** The start of the log as it is kept: what is before it was deleted after it had been exported. */
const START = 'log_start';
/** The size up to which complete exports exist. */
const EXPORTED = 'log_exported';

type Db = Store['db'] | Tx;

export function readLogStart(db: Db): Promise<number> {
  return readSize(db, START);
}

/** The state of the log that its remaining events go on from; null for a log that is kept from its beginning. */
export interface LogState {
  readonly size: number;
  readonly note: string;
  /** base64 */
  readonly frontier: readonly string[];
}

/** The newest checkpoint at or before `size` that is kept. */
export async function stateAtOrBefore(db: Db, size: number): Promise<LogState | null> {
  const row = await db
    .selectFrom('checkpoints')
    .select(['size', 'note', 'frontier'])
    .where('size', '<=', size)
    .orderBy('size', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row ?? null;
}

export function readExported(db: Db): Promise<number> {
  return readSize(db, EXPORTED);
}

/**
 * Remembers that an export of `from` to `to` was completed, so that retention may delete it. One that leaves a gap after
 * the exports before it counts for nothing. Answers whether it counted.
 */
export async function markExported(db: Db, from: number, to: number): Promise<boolean> {
  await db
    .insertInto('settings')
    .values({ name: EXPORTED, value: '0' })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const { numUpdatedRows } = await db
    .updateTable('settings')
    .set({ value: sql<string>`to_jsonb(greatest((value #>> '{}')::bigint, ${to}::bigint))` })
    .where('name', '=', EXPORTED)
    .where(sql<boolean>`(value #>> '{}')::bigint >= ${from}::bigint`)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

/** Only ever forward: another process may have moved it meanwhile. */
export async function moveLogStart(db: Db, size: number): Promise<void> {
  await db
    .insertInto('settings')
    .values({ name: START, value: JSON.stringify(size) })
    .onConflict((conflict) =>
      conflict
        .column('name')
        .doUpdateSet({ value: JSON.stringify(size) })
        .where(sql<boolean>`(settings.value #>> '{}')::bigint < ${size}::bigint`),
    )
    .execute();
}

async function readSize(db: Db, name: string): Promise<number> {
  const row = await db.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirst();
  return Number(row?.value ?? 0);
}
