import { startAgentSweep } from '../agents/sweep.ts';
import { startAgentUses } from '../agents/uses.ts';
import { BY_SERVER } from '../model/acting.ts';
import type { Store } from '../store/store.ts';
import { offboardAgent } from '../tasks/revoke/offboard_agent.ts';
import { suspendAgent } from '../tasks/revoke/suspend_agent.ts';

/** Keeps the deadlines of agents, and writes down now and then what they used, until what it returns is called. */
export function startAgentUpkeep(store: Store): () => Promise<void> {
  const uses = startAgentUses(store);
  const sweep = startAgentSweep(store, {
    suspend: (agentId, reason) => suspendAgent(store, { agentId, by: BY_SERVER, reason }),
    offboard: (agentId, reason) => offboardAgent(store, { agentId, by: BY_SERVER, reason }),
  });
  return async () => {
    await sweep.stop();
    await uses.stop();
  };
}
