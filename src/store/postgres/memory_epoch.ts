import { type Kysely, type Selectable, sql } from 'kysely';
import type { MemoryEpoch } from '../place/epoch.ts';
import { PLACE_VIEW_MS } from '../place/limits.ts';
import type { EphemeralMemoryTable, Tables } from './tables.ts';

/** What the row says, and how long until the epoch begins to remember (0 once it has). */
export interface StoredEpoch {
  readonly epoch: MemoryEpoch;
  readonly beginsInMs: number;
}

export type NewEpoch = Omit<MemoryEpoch, 'since'>;

/** The row that tells all servers where the memory is and since when it remembers. */
export interface MemoryEpochs {
  exist(): Promise<boolean>;
  /**
   * The epoch of the moment. Waits for a change under way, so that whoever is told the old
   * epoch asked before the change: PLACE_VIEW_MS after it, nobody goes by the old one.
   */
  read(): Promise<StoredEpoch>;
  /** Writes the first epoch; false if there is one. */
  first(epoch: NewEpoch): Promise<boolean>;
  /** Writes a new epoch in place of `old`; false if another server was faster. */
  replace(old: string, next: NewEpoch): Promise<boolean>;
}

/** Number of the advisory lock: shared by readers of the row, alone for who changes it. */
const LOCK = 7_311;
const ONE_SECOND = sql`interval '1 second'`;

export function createMemoryEpochs(db: Kysely<Tables>): MemoryEpochs {
  return {
    async exist() {
      return (await db.selectFrom('ephemeral_memory').select('epoch').executeTakeFirst()) !== undefined;
    },
    read: () =>
      db.transaction().execute(async (tx) => {
        // A statement of its own: in READ COMMITTED the next one then sees what this one waited for.
        await sql`select pg_advisory_xact_lock_shared(${LOCK})`.execute(tx);
        const row = await tx
          .selectFrom('ephemeral_memory')
          .selectAll()
          .select(
            sql<number>`(greatest(extract(epoch from since - clock_timestamp()), 0) * 1000)::float8`.as('begins_in_ms'),
          )
          .executeTakeFirst();
        if (row === undefined) throw new Error('The row of ephemeral_memory was deleted. Restart all servers.');
        return { epoch: epochOf(row), beginsInMs: row.begins_in_ms };
      }),
    async first(epoch) {
      // Nothing was remembered before, so there is nothing to wait for.
      const written = await db
        .insertInto('ephemeral_memory')
        .values({ ...rowOf(epoch), since: sql<Date>`date_trunc('second', clock_timestamp())` })
        .onConflict((conflict) => conflict.doNothing())
        .returning('epoch')
        .executeTakeFirst();
      return written !== undefined;
    },
    replace: (old, next) =>
      db.transaction().execute(async (tx) => {
        await sql`select pg_advisory_xact_lock(${LOCK})`.execute(tx);
        const begins = sql`clock_timestamp() + make_interval(secs => ${PLACE_VIEW_MS / 1000})`;
        const written = await tx
          .updateTable('ephemeral_memory')
          // Not before the one it replaces, also when the clock was set back.
          .set({ ...rowOf(next), since: sql<Date>`greatest(date_trunc('second', ${begins}) + ${ONE_SECOND}, since)` })
          .where('epoch', '=', old)
          .returning('epoch')
          .executeTakeFirst();
        return written !== undefined;
      }),
  };
}

function rowOf({ id, place, servers }: NewEpoch) {
  return { place, epoch: id, servers: JSON.stringify(servers) };
}

function epochOf({ epoch, place, since, servers }: Selectable<EphemeralMemoryTable>): MemoryEpoch {
  return { id: epoch, place, since, servers };
}
