import { sql } from 'kysely';
import type { Tx } from '../../store/store.ts';

/** The number only has to differ from other locks of ours. */
const DIRECTORY_LOCK = 7_310_021;

/**
 * Changes by a directory, and first sign-ins, pass one at a time: what is looked up before is still so when it is written.
 * It comes before the locks of people, always.
 */
export async function lockDirectory(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(${DIRECTORY_LOCK})`.execute(tx);
}
