import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { PEERS_PER_AGENT_MAX } from './limits.ts';
import { lockToGovern, refuseUnlessGoverned } from './lock_agent.ts';

/** `to`: the agent may hand work to its peer. `from`: it may take work from its peer. A hop needs both ends. */
export const PEER_DIRECTIONS = ['to', 'from'] as const;
export type PeerDirection = (typeof PEER_DIRECTIONS)[number];

interface PeerInput {
  readonly agentId: string;
  readonly direction: PeerDirection;
  readonly peerId: string;
}

export interface RemovePeer extends PeerInput {
  readonly by: Acting;
}

/**
 * A person who answers for this agent, or an administrator, approves one direction. The other end is for whoever answers for
 * the peer, so that two teams agree before work crosses between them. Approving again changes nothing.
 */
export async function approvePeer(
  store: Store,
  input: PeerInput & { readonly by: string },
): Promise<Result<true, Refusal>> {
  const { agentId, direction, peerId } = input;
  if (agentId === peerId) {
    return refused(refusal('request_invalid', 'An agent is no peer of itself: it may narrow its own work anyway.'));
  }
  return transactRepeatably(store, async (tx, afterCommit) => {
    const locked = await lockToGovern(tx, { agentId, by: { kind: 'person', id: input.by } });
    if (!locked.ok) return locked;
    const { agent, actor } = locked.value;
    const governed = refuseUnlessGoverned(agent);
    if (!governed.ok) return governed;
    const peer = await tx.selectFrom('agents').select(['state']).where('id', '=', peerId).executeTakeFirst();
    if (peer === undefined) return refused(refusal('request_invalid', 'There is no agent with the id of the peer.'));
    if (peer.state === 'offboarded' || peer.state === 'pending') {
      const words = peer.state === 'pending' ? 'waits for approval itself' : 'was offboarded';
      return refused(refusal('request_invalid', `The peer ${words}. Choose an agent that may do something.`));
    }
    const hasRoom = await checkRoom(tx, agentId);
    if (!hasRoom.ok) return hasRoom;
    const made = await tx
      .insertInto('agent_peers')
      .values({ agent_id: agentId, direction, peer_id: peerId, approved_by: input.by })
      .onConflict((conflict) => conflict.doNothing())
      .returning('peer_id')
      .executeTakeFirst();
    if (made === undefined) return accepted(true);
    await append(store, tx, afterCommit, {
      kind: 'agent.peer_approved',
      ids: { agent: agentId, direction, peer: peerId, ...actingIds(actor.by) },
    });
    return accepted(true);
  });
}

async function checkRoom(tx: Tx, agentId: string): Promise<Result<true, Refusal>> {
  const { count } = await tx
    .selectFrom('agent_peers')
    .select(tx.fn.countAll<number>().as('count'))
    .where('agent_id', '=', agentId)
    .executeTakeFirstOrThrow();
  return Number(count) < PEERS_PER_AGENT_MAX
    ? accepted(true)
    : refused(refusal('conflict', `An agent has at most ${PEERS_PER_AGENT_MAX} peers. Remove some first.`));
}

/**
 * Takes back one end of an approval, in a transaction that ends what was handed on under it (`tasks/revoke/remove_peer.ts`). The
 * agent is locked first: whoever hands work on between the two shares that lock, and is found by what is asked after this, or
 * waits for it and finds the approval gone.
 */
export async function takeBackPeer(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  input: RemovePeer,
): Promise<Result<true, Refusal>> {
  const { agentId, direction, peerId } = input;
  const locked = await lockToGovern(tx, input);
  if (!locked.ok) return locked;
  const removed = await tx
    .deleteFrom('agent_peers')
    .where('agent_id', '=', agentId)
    .where('direction', '=', direction)
    .where('peer_id', '=', peerId)
    .returning('peer_id')
    .executeTakeFirst();
  if (removed === undefined) return refused(refusal('not_found', 'This agent has no such peer. Nothing was changed.'));
  await append(store, tx, afterCommit, {
    kind: 'agent.peer_removed',
    ids: { agent: agentId, direction, peer: peerId, ...actingIds(locked.value.actor.by) },
  });
  return accepted(true);
}

export interface Peer {
  readonly direction: PeerDirection;
  readonly peer_id: string;
  readonly name: string;
  readonly state: string;
  readonly approved_by: string;
  readonly created_at: Date;
  /** The peer's own end is approved too, so that work may pass. */
  readonly is_mutual: boolean;
  /** When work was handed on in this direction last. */
  readonly last_used_at: Date | null;
}

export async function listPeers(store: Store, agentId: string): Promise<Peer[]> {
  const { rows } = await sql<Peer>`select p.direction, p.peer_id, a.name, a.state, p.approved_by, p.created_at,
      exists (select 1 from agent_peers o where o.agent_id = p.peer_id and o.peer_id = p.agent_id
        and o.direction <> p.direction) as is_mutual,
      (select max(d.created_at) from delegations d join delegations above on above.id = d.parent_id
        where d.agent_id = case p.direction when 'to' then p.peer_id else p.agent_id end
          and above.agent_id = case p.direction when 'to' then p.agent_id else p.peer_id end) as last_used_at
    from agent_peers p join agents a on a.id = p.peer_id
    where p.agent_id = ${agentId}
    order by p.direction desc, a.name, p.peer_id`.execute(store.db);
  return rows;
}
