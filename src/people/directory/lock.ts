import { sql } from 'kysely';
import type { Tx } from '../../store/store.ts';

/** Of what there is to be one only, or one change at a time, although no row of it may be there yet. */
export type DirectoryKey =
  | `identity:${string}` // a subject of an issuer
  | `external_id:${string}` // by which directory and provider know the same person
  | `group:${string}`; // the members of a group

/**
 * Holds these until the transaction ends: what is looked up after this is still so when it is written. In one order, and
 * before the locks of people, always.
 */
export async function lockKeys(tx: Tx, keys: readonly DirectoryKey[]): Promise<void> {
  for (const key of [...new Set(keys)].sort()) {
    await sql`select pg_advisory_xact_lock(hashtextextended(${`directory:${key}`}, 0))`.execute(tx);
  }
}
