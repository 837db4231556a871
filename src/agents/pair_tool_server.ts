import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { isActiveAdministrator } from './accept_tool_server.ts';
import type { ToolServer } from './tool_servers.ts';

export interface PairToolServer {
  readonly toolServerId: string;
  /** The agent that acts there: an agent that others send work to, or a server that calls tools itself. Null: nobody. */
  readonly agentId: string | null;
  /** The administrator who says so. */
  readonly by: string;
}

/**
 * Names the agent behind an address. It may exchange the tokens that callers bring there, so an administrator says it, and
 * no server of itself. The same again changes nothing.
 */
export async function pairToolServer(store: Store, input: PairToolServer): Promise<Result<ToolServer, Refusal>> {
  const { toolServerId, agentId, by } = input;
  return transact(store, async (tx, afterCommit) => {
    if (!(await isActiveAdministrator(tx, by))) {
      return refused(refusal('not_allowed', 'Only an administrator can say which agent acts at an address.'));
    }
    const agent =
      agentId === null
        ? undefined
        : await tx
            .selectFrom('agents')
            .select(['state', 'kind'])
            .where('id', '=', agentId)
            .forShare()
            .executeTakeFirst();
    if (agentId !== null && (agent?.state !== 'active' || agent.kind !== 'service')) {
      return refused(refusal('request_invalid', 'Name an active agent with keys of its own.'));
    }
    const server = await tx
      .selectFrom('tool_servers')
      .selectAll()
      .where('id', '=', toolServerId)
      .forUpdate()
      .executeTakeFirst();
    if (server === undefined) return refused(refusal('not_found', 'There is no such tool server.'));
    if (server.state !== 'active') {
      return refused(refusal('conflict', `This tool server is ${server.state}. Accept it first.`));
    }
    if (server.agent_id === agentId) return accepted(server);
    const changed = await tx
      .updateTable('tool_servers')
      .set({ agent_id: agentId })
      .where('id', '=', toolServerId)
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'tool_server.paired',
      ids: { tool_server: toolServerId, agent: agentId, agent_before: server.agent_id, by },
    });
    return accepted(changed);
  });
}
