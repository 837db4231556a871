import { type Selectable, sql } from 'kysely';
import type { KeyPurpose, KeysTable } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { type KeyState, keyStateAt } from './state.ts';

export interface ListedKey {
  readonly kid: string;
  readonly purpose: KeyPurpose;
  readonly state: KeyState;
  /** When it came into this state, by the clock of PostgreSQL. */
  readonly since: Date | null;
  /** When it leaves this state; null if nothing is planned. */
  readonly until: Date | null;
}

/** All keys there ever were, by purpose, the youngest first. */
export async function listKeys({ db }: Pick<Store, 'db'>): Promise<ListedKey[]> {
  const { rows } = await sql<Selectable<KeysTable> & { database_time: Date }>`
    select keys.*, clock_timestamp() as database_time from keys
    order by purpose, activates_at desc, created_at desc`.execute(db);
  return rows.map((row) => {
    const state = keyStateAt(row, row.database_time);
    return { kid: row.kid, purpose: row.purpose, state, ...timesOf(row, state) };
  });
}

function timesOf(key: Selectable<KeysTable>, state: KeyState): Pick<ListedKey, 'since' | 'until'> {
  switch (state) {
    case 'published':
      return { since: key.created_at, until: key.activates_at };
    case 'signing':
      return { since: key.activates_at, until: key.retires_at };
    case 'retired':
      return { since: key.retires_at, until: key.verifies_until };
    case 'ended':
    case 'revoked':
      return { since: key.verifies_until, until: null };
  }
}
