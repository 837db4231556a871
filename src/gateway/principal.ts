import type { AuthInfo } from '@modelcontextprotocol/server';
import { isObject } from './upstream/json_rpc_peer.ts';

/** Whose call it is, as the guard established it from the token and the server's records. */
export interface GatewayPrincipal {
  /** Person, agent and client: what the limit on processes counts. */
  readonly owner: string;
  /** The owner and the task: what one upstream process belongs to. */
  readonly key: string;
  readonly redemptionId: string | undefined;
}

/** Undefined when the guard did not say who calls; then nothing runs. */
export function principalOf(authInfo: AuthInfo | undefined): GatewayPrincipal | undefined {
  const countersign = authInfo?.extra?.countersign;
  if (!isObject(countersign)) return undefined;
  const { requester, agent, client_id: clientId, task, redemption_id: redemptionId } = countersign;
  const names = [requester, agent, clientId, task];
  if (!names.every((name) => typeof name === 'string' && name !== '')) return undefined;
  return {
    owner: JSON.stringify([requester, agent, clientId]),
    key: JSON.stringify(names),
    redemptionId: typeof redemptionId === 'string' ? redemptionId : undefined,
  };
}
