import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { BY_SERVER } from '../../model/acting.ts';
import type { Store } from '../../store/store.ts';
import { transact } from '../../store/transact.ts';
import { endTask } from '../../tasks/finish.ts';

/**
 * Ends what a person began before a moment: sign-ins to the console, and the tasks they consented to in a browser, with
 * their refresh families and all that descends from them. What began later is not what the event was about. Doing it
 * again changes nothing.
 */
export async function endSessionsOf(
  store: Store,
  personId: string,
  before: Date,
): Promise<{ readonly sessions: number; readonly tasks: number }> {
  const sessions = await endSignIns(store, personId, before);
  const rows = await store.db
    .selectFrom('tasks')
    .select('id')
    .where('requester_id', '=', personId)
    .where('state', '=', 'active')
    .where('oauth_grant_id', 'is not', null)
    .where('created_at', '<=', before)
    .orderBy('id')
    .execute();
  let tasks = 0;
  for (const { id } of rows) {
    const ended = await endTask(store, { taskId: id, how: 'cancelled', by: BY_SERVER });
    if (ended.ok) tasks += 1;
  }
  return { sessions, tasks };
}

function endSignIns(store: Store, personId: string, before: Date): Promise<number> {
  return transact(store, async (tx, afterCommit) => {
    const ended = await tx
      .updateTable('sessions')
      .set({ revoked_at: sql<Date>`clock_timestamp()` })
      .where('person_id', '=', personId)
      .where('revoked_at', 'is', null)
      .where('created_at', '<=', before)
      .returning('id_hash')
      .execute();
    for (const { id_hash } of ended) {
      await append(store, tx, afterCommit, {
        kind: 'session.ended',
        ids: { person: personId, session: id_hash, reason: 'signal', by: BY_SERVER.id, by_kind: BY_SERVER.kind },
      });
    }
    return ended.length;
  });
}
