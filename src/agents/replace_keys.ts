import type { JWK } from 'jose';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import { areKeysTaken, keyTaken, type ListedKey, listedKeys, oldestKey, readPublicKeys, thumbprintOf } from './keys.ts';
import { lockToGovern, refuseUnlessGoverned } from './lock_agent.ts';

/**
 * Replaces the keys of an agent by exactly these. A key that is left out signs nothing from now on; one that is listed again
 * overlaps with the new ones and keeps its age, so that the deadline for changing keys counts from the oldest listed one.
 */
export async function replaceAgentKeys(
  store: Store,
  input: { readonly agentId: string; readonly keys: readonly JWK[]; readonly by: Acting },
): Promise<Result<Agent, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const locked = await lockToGovern(tx, input);
    if (!locked.ok) return locked;
    const { agent, actor } = locked.value;
    const governed = refuseUnlessGoverned(agent);
    if (!governed.ok) return governed;
    if (agent.kind === 'interactive') {
      return refused(refusal('conflict', 'This agent works for one person and has no keys of its own here.'));
    }
    const client = await tx
      .selectFrom('oauth_clients')
      .select('metadata')
      .where('client_id', '=', agent.client_id)
      .forUpdate()
      .executeTakeFirstOrThrow();
    const known = listedKeys(client.metadata, agent.key_changed_at);
    const keys = await readPublicKeys(input.keys, new Date(), known);
    if (!keys.ok) return keys;
    if (!keys.value.some((key) => isNew(key, known))) {
      return refused(refusal('request_invalid', 'None of these keys is new. Make a new key and list it.'));
    }
    if (await areKeysTaken(tx, keys.value, agent.client_id)) return refused(keyTaken());
    const { jwks_uri: _moved, ...metadata } = client.metadata;
    await tx
      .updateTable('oauth_clients')
      .set({ metadata: JSON.stringify({ ...metadata, jwks: { keys: keys.value } }) })
      .where('client_id', '=', agent.client_id)
      .execute();
    const changed = await tx
      .updateTable('agents')
      .set({
        key_changed_at: oldestKey(keys.value),
        key_warned_at: null,
        key_holder_ids: holdersOf(
          agent,
          actor.personId,
          keys.value.every((key) => isNew(key, known)),
        ),
      })
      .where('id', '=', agent.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    const dropped = known.filter((key) => isNew(key, keys.value));
    await append(store, tx, afterCommit, {
      kind: 'agent.keys_changed',
      ids: {
        agent: agent.id,
        keys: (await thumbprints(keys.value)).join(' '),
        dropped: (await thumbprints(dropped)).join(' '),
        ...actingIds(actor.by),
      },
    });
    return accepted(changed);
  });
}

/** Who may have one of the keys although they may not answer for the agent: they do not decide about it (invariant 6). */
function holdersOf(agent: Agent, personId: string | null, areAllNew: boolean): string[] {
  const before = areAllNew ? [] : agent.key_holder_ids;
  return [...new Set([...before, ...(personId === null ? [] : [personId])])];
}

function isNew(key: ListedKey, among: readonly ListedKey[]): boolean {
  return !among.some((one) => one.x === key.x && one.y === key.y);
}

async function thumbprints(keys: readonly JWK[]): Promise<string[]> {
  return (await Promise.all(keys.map(thumbprintOf))).sort();
}
