import { sql } from 'kysely';
import { appendAll } from '../../events/append_all.ts';
import { actingIds } from '../../model/acting.ts';
import type { Revoking } from './end_below.ts';

/** By what a person gets in, and what they gave to others to get in by. */
export async function endAccess({ store, tx, afterCommit, by }: Revoking, personId: string): Promise<void> {
  await tx
    .updateTable('sessions')
    .set({ revoked_at: sql<Date>`clock_timestamp()` })
    .where('person_id', '=', personId)
    .where('revoked_at', 'is', null)
    .execute();
  await tx
    .updateTable('links')
    .set({ expires_at: sql<Date>`clock_timestamp()` })
    .where((where) => where.or([where('created_by', '=', personId), where('person_id', '=', personId)]))
    .where('used_at', 'is', null)
    .execute();
  const tokens = await tx
    .updateTable('api_tokens')
    .set({ revoked_at: sql<Date>`clock_timestamp()` })
    .where('created_by', '=', personId)
    .where('revoked_at', 'is', null)
    .returning('id')
    .execute();
  await appendAll(
    store,
    tx,
    afterCommit,
    tokens.map(({ id }) => ({ kind: 'api_token.revoked', ids: { api_token: id, ...actingIds(by), with: personId } })),
  );
}
