import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { AGENT_NAME_LENGTH_MAX } from './limits.ts';

/**
 * The agent that is this client in the hands of this person, made on first consent. Its owner is the person: client ids
 * of metadata documents are shared by all installations, so the pair is what is governed (design §2).
 */
export async function findOrCreateInteractiveAgent(
  store: Store,
  input: { readonly clientId: string; readonly clientName: string; readonly personId: string },
): Promise<{ agentId: string }> {
  return transact(store, async (tx, afterCommit) => {
    const created = await tx
      .insertInto('agents')
      .values({
        id: newId('agt'),
        kind: 'interactive',
        client_id: input.clientId,
        person_id: input.personId,
        owner_id: input.personId,
        name: input.clientName.slice(0, AGENT_NAME_LENGTH_MAX),
        purpose: 'Used by its owner through an interactive client.',
        state: 'active',
        bound: null,
      })
      .onConflict((conflict) =>
        conflict.columns(['client_id', 'person_id']).where('kind', '=', 'interactive').doNothing(),
      )
      .returning('id')
      .executeTakeFirst();
    if (created !== undefined) {
      await append(store, tx, afterCommit, {
        kind: 'agent.created',
        ids: { agent: created.id, owner: input.personId, client: input.clientId },
      });
      return { agentId: created.id };
    }
    const known = await tx
      .selectFrom('agents')
      .select('id')
      .where('client_id', '=', input.clientId)
      .where('person_id', '=', input.personId)
      .where('kind', '=', 'interactive')
      .executeTakeFirstOrThrow();
    return { agentId: known.id };
  });
}
