import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { appendAll } from '../../events/append_all.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store, Tx } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import type { Revoking } from './end_below.ts';
import { OWNER_DISABLED, readReason } from './reason.ts';
import { transactRevocation } from './transact_revocation.ts';

/**
 * Lets a disabled person sign in again. What ended with them stays ended: they sign in anew, their votes stay void, agents
 * that were handed over stay with their deputies. Only the agents that are clients in their own hands go on.
 */
export async function enablePerson(
  store: Store,
  input: { readonly personId: string; readonly by: Acting; readonly reason: string },
): Promise<Result<null, Refusal>> {
  const reason = readReason(input.reason);
  if (!reason.ok) return reason;
  return transactRevocation(store, async (tx, afterCommit) => {
    const { rows: people } = await sql<{
      id: string;
      state: 'active' | 'disabled';
      is_administrator: boolean;
      deleted_at: Date | null;
    }>`select id, state, is_administrator, deleted_at from people
      where id in (${input.personId}, ${input.by.id}) order by id for no key update`.execute(tx);
    const asking = people.find(({ id }) => id === input.by.id);
    const isAdministrator = asking?.state === 'active' && asking.is_administrator;
    if (input.by.kind === 'agent' || (input.by.kind === 'person' && !isAdministrator)) {
      return refused(refusal('not_allowed', 'Only an administrator may enable a person. Nothing was changed.'));
    }
    const person = people.find(({ id }) => id === input.personId);
    if (person === undefined) return refused(refusal('not_found', 'There is no person with this id.'));
    if (person.deleted_at !== null) {
      return refused(refusal('conflict', 'Their directory deleted this person. Add them anew instead.'));
    }
    if (person.state === 'active') {
      await assureDurable(tx);
      return accepted(null);
    }
    await tx
      .updateTable('people')
      .set({ state: 'active', updated_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', input.personId)
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'person.enabled',
      ids: { person: input.personId, ...actingIds(input.by) },
      ...(reason.value === null ? {} : { personal: { reason: reason.value } }),
    });
    await resumeOwn({ store, tx, afterCommit, by: input.by }, input.personId);
    return accepted(null);
  });
}

async function resumeOwn({ store, tx, afterCommit, by }: Revoking, personId: string): Promise<void> {
  const { rows } = await resumable(tx, personId);
  await appendAll(
    store,
    tx,
    afterCommit,
    rows.map(({ id }) => ({ kind: 'agent.resumed', ids: { agent: id, ...actingIds(by), with: personId } })),
  );
}

function resumable(tx: Tx, personId: string) {
  return sql<{ id: string }>`with locked as materialized (
      select id from agents where owner_id = ${personId} and kind = 'interactive' and state = 'suspended'
        and state_reason = ${OWNER_DISABLED} order by id for update
    )
    update agents set state = 'active', state_reason = null, state_changed_at = clock_timestamp()
    from locked where agents.id = locked.id returning agents.id`.execute(tx);
}
