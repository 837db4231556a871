import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { findToolServerByResource } from '../agents/tool_servers.ts';
import type { Store } from '../store/store.ts';
import type { KnownToolServer } from './live_task.ts';
import { requestFacts } from './request_facts.ts';

/** The accepted tool server of this canonical resource, or `invalid_target`. */
export async function activeToolServer(
  store: Store,
  ctx: KoaContextWithOIDC,
  resource: string,
): Promise<KnownToolServer> {
  const facts = requestFacts(ctx);
  if (facts.toolServer?.resource === resource) return facts.toolServer;
  const beside = facts.task?.toolServer;
  const toolServer = beside?.resource === resource ? beside : await findToolServerByResource(store, resource);
  if (toolServer === undefined) throw new errors.InvalidTarget('no tool server with this resource is registered here');
  if (toolServer.state !== 'active') {
    throw new errors.InvalidTarget('this tool server is not active: an administrator must accept it first');
  }
  facts.toolServer = toolServer;
  return toolServer;
}

/** Design §7: at most five minutes, or the rest of the task. */
export function accessTokenSeconds(store: Store, taskSecondsLeft: number | undefined): number {
  return Math.max(1, Math.min(store.rules.accessTokenSeconds, taskSecondsLeft ?? Number.POSITIVE_INFINITY));
}
