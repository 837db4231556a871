import type { AuthInfo } from '@modelcontextprotocol/server';
import type { JsonObject } from '../kernel/json.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';

/** Who calls, as the verified token says. What they may do is decided by the server. */
export interface Caller {
  readonly accessToken: string;
  /** The key the token is bound to, whose proof was checked; null for bearer tokens. */
  readonly dpopJkt: string | null;
  readonly clientId: string;
  readonly requester: string;
  readonly agent: string;
  readonly task: string;
  /** The task that this one is part of; itself, if of none. */
  readonly rootTask: string;
  /** The hop by which this agent works on the task; null for the agent that the task was started by. */
  readonly delegation: string | null;
  /** The agents of the chain, the one that calls first. */
  readonly actors: readonly string[];
  /** Seconds since the epoch. */
  readonly expiresAt: number;
}

/** One string per person, agent, client and task: what a cancellation or a remembered challenge belongs to. */
export function principalKey(caller: Caller): string {
  return JSON.stringify([caller.requester, caller.agent, caller.clientId, caller.task]);
}

/** What the server behind the guard learns of the caller. */
export function principalOf(caller: Caller): JsonObject {
  return {
    requester: caller.requester,
    agent: caller.agent,
    client_id: caller.clientId,
    task: caller.task,
    root_task: caller.rootTask,
    delegation: caller.delegation,
    actors: caller.actors,
  };
}

export function wireCaller(caller: Caller): { access_token: string; dpop_jkt: string | null } {
  return { access_token: caller.accessToken, dpop_jkt: caller.dpopJkt };
}

/**
 * What the tool server learns of the caller: `extra.countersign`. The token stays here, so that no tool can pass it on
 * (MCP forbids token passthrough).
 */
export function authInfoOf(caller: Caller, resource: string, redemptionId?: string): AuthInfo {
  return {
    token: '',
    clientId: caller.clientId,
    scopes: [BASE_SCOPE],
    expiresAt: caller.expiresAt,
    resource: new URL(resource),
    extra: {
      countersign: {
        ...principalOf(caller),
        ...(redemptionId === undefined ? {} : { redemption_id: redemptionId }),
      },
    },
  };
}
