import type { Agent } from '../agents/agent.ts';
import { pendingChangeOf } from '../agents/change.ts';
import { keysDueAt, reviewDueAt } from '../agents/deadlines.ts';
import type { AgentKeys } from '../agents/find_agents.ts';
import type { Peer } from '../agents/peers.ts';
import type { AgentReview } from '../agents/review.ts';
import { termsOf } from '../agents/terms.ts';
import type { JsonObject } from '../kernel/json.ts';

/** Where a person looks at an agent and approves what only people approve. */
export function agentPageUrl(issuer: string, agentId: string): string {
  return `${issuer}/agents/${agentId}`;
}

export function agentJson(agent: Agent, issuer: string): JsonObject {
  const { terms: waiting, ...pending } = pendingChangeOf(agent) ?? { terms: null };
  return {
    id: agent.id,
    kind: agent.kind,
    client_id: agent.client_id,
    name: agent.name,
    purpose: agent.purpose,
    state: agent.state,
    state_reason: agent.state_reason,
    state_changed_at: agent.state_changed_at.toISOString(),
    owner: agent.owner_id,
    deputy: agent.deputy_id,
    person: agent.person_id,
    proposed_by: agent.proposed_by,
    approved_by: agent.approved_by,
    approved_at: agent.approved_at?.toISOString() ?? null,
    created_at: agent.created_at.toISOString(),
    last_used_at: agent.last_used_at?.toISOString() ?? null,
    terms: termsOf(agent) as unknown as JsonObject,
    pending_change: waiting === null ? null : ({ ...pending, terms: waiting } as unknown as JsonObject),
    keys_due_at: keysDueAt(agent)?.toISOString() ?? null,
    reviewed_at: agent.reviewed_at.toISOString(),
    review_due_at: reviewDueAt(agent)?.toISOString() ?? null,
    console_url: agentPageUrl(issuer, agent.id),
  };
}

export function keysJson(keys: AgentKeys | null): JsonObject | null {
  if (keys === null) return null;
  return {
    jwks_uri: keys.jwksUri,
    listed: keys.keys.map(({ thumbprint, kid, since }) => ({ thumbprint, kid, since: since.toISOString() })),
  };
}

export function peerJson(peer: Peer): JsonObject {
  return {
    direction: peer.direction,
    peer: peer.peer_id,
    name: peer.name,
    state: peer.state,
    approved_by: peer.approved_by,
    approved_at: peer.created_at.toISOString(),
    is_mutual: peer.is_mutual,
    last_used_at: peer.last_used_at?.toISOString() ?? null,
  };
}

export function reviewJson(agent: Agent, review: AgentReview, issuer: string): JsonObject {
  return {
    agent: agent.id,
    is_bounded: review.is_bounded,
    reviewed_at: agent.reviewed_at.toISOString(),
    review_due_at: reviewDueAt(agent)?.toISOString() ?? null,
    tools: review.tools.map((tool) => ({
      tool_server: tool.tool_server_id,
      tool_server_name: tool.tool_server,
      tool: tool.tool,
      last_used_at: tool.last_used_at?.toISOString() ?? null,
      is_listed: tool.is_listed,
    })),
    peers: review.peers.map(peerJson),
    console_url: agentPageUrl(issuer, agent.id),
  };
}
