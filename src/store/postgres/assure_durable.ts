import { sql } from 'kysely';
import type { Store, Tx } from '../store.ts';

/**
 * Before an earlier commit is told of again: that commit may have given up waiting for its synchronous standby, and is
 * visible all the same. This writes to the log of PostgreSQL, so that the commit it is in waits for the standby to have
 * everything up to here, or fails.
 */
export async function assureDurable(db: Store['db'] | Tx): Promise<void> {
  await sql`select pg_logical_emit_message(true, 'countersign', '')`.execute(db);
}
