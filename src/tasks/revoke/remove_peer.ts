import { type RemovePeer, takeBackPeer } from '../../agents/peers.ts';
import { accepted, type Result } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import type { Refusal } from '../../wire/refusals.ts';
import { endBelow } from './end_below.ts';
import type { Ended } from './ended.ts';
import { transactRevocation } from './transact_revocation.ts';

/**
 * Takes back that an agent may hand work to another, or take it from there: from now on nothing is handed on in this direction,
 * and everything that was is revoked with what hangs below it, in the same transaction. The other direction stays. Whoever may
 * approve a peer of the agent may; a second time is refused, and nothing is left to end.
 */
export async function removePeer(store: Store, input: RemovePeer): Promise<Result<Ended, Refusal>> {
  const { agentId, direction, peerId, by } = input;
  const hop = direction === 'to' ? { giverId: agentId, takerId: peerId } : { giverId: peerId, takerId: agentId };
  return transactRevocation(store, async (tx, afterCommit) => {
    const taken = await takeBackPeer(store, tx, afterCommit, input);
    if (!taken.ok) return taken;
    const ended = await endBelow(
      { store, tx, afterCommit, by },
      {
        ancestor: { hop },
        // Not the id of an agent: both go on, so guards must hear of each delegation by itself.
        endedWith: `hop:${hop.giverId}:${hop.takerId}`,
        reason: 'Work may not pass any more between two agents that this call came through.',
      },
    );
    return accepted(ended);
  });
}
