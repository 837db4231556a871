import type { ColumnType, Generated } from 'kysely';
import type { JsonObject } from '../../../kernel/json.ts';
import type { Json, Stamped } from './columns.ts';

export interface OAuthClientsTable {
  client_id: string;
  source: 'registered' | 'guard' | 'agent';
  metadata: Json<JsonObject>;
  created_at: Stamped;
}

/**
 * What is known of how a client in a person's hands behaves when it is challenged (design §5, scope lane). Per person,
 * because ids of metadata documents are shared by all installations of a client.
 */
export interface ClientLanesTable {
  client_id: string;
  person_id: string;
  scope_lane: 'works' | 'fails';
  updated_at: Stamped;
}

export interface AgentsTable {
  id: string;
  /** `interactive` is the pair client + person; `service` is a client with keys of its own. */
  kind: 'interactive' | 'service';
  client_id: string;
  /** The person of an interactive agent; null for a service agent. */
  person_id: string | null;
  owner_id: string;
  name: string;
  purpose: string;
  state: 'pending' | 'active' | 'suspended' | 'offboarded';
  /** Tools the agent may ever be given, per tool server id; null means no bound but the task. */
  bound: Json<ToolSelection> | null;
  /** Who answers for it when the owner cannot; null for interactive agents. */
  deputy_id: Generated<string | null>;
  /** A name administrators give to a part of the organisation; policy sees it. */
  trust_zone: Generated<string>;
  /** Scopes its tokens may have; null means those of their resource. */
  scopes: ColumnType<readonly string[] | null, string | null | undefined, string | null>;
  /** How many hops may follow this agent in a chain. */
  delegation_depth_max: Generated<number>;
  /** It does nothing from this moment on; null means until somebody ends it. */
  ends_at: Generated<Date | null>;
  /** Its tokens are bound to a key (RFC 9449), whatever policy says. */
  dpop_required: Generated<boolean>;
  /** Its keys are to change within so many days; null means never. */
  key_days: Generated<number | null>;
  key_changed_at: Stamped;
  key_warned_at: Generated<Date | null>;
  /** People who listed a key of it, or answered for it before, and may have that key until all keys are replaced. */
  key_holder_ids: Generated<string[]>;
  review_days: Generated<number | null>;
  reviewed_at: Stamped;
  review_warned_at: Generated<Date | null>;
  /** What somebody asked to widen, until another person approves it (`agents/change.ts`). */
  pending_change: ColumnType<JsonObject | null, string | null | undefined, string | null>;
  proposed_by: Generated<string | null>;
  approved_by: Generated<string | null>;
  approved_at: Generated<Date | null>;
  /** Why it is in its state, in a person's words or ours. */
  state_reason: Generated<string | null>;
  state_changed_at: Stamped;
  /** When it was last suspended: tokens of before stay dead, also when it is resumed. */
  suspended_at: Generated<Date | null>;
  last_used_at: Generated<Date | null>;
  created_at: Stamped;
}

/** Everyone who ever answered for an agent, and when. */
export interface AgentOwnershipsTable {
  id: string;
  agent_id: string;
  person_id: string;
  role: 'owner' | 'deputy';
  since: Stamped;
  until: Generated<Date | null>;
}

/** `agent_id` may hand work to the peer (`to`), or take work from it (`from`). A hop needs both ends. */
export interface AgentPeersTable {
  agent_id: string;
  direction: 'to' | 'from';
  peer_id: string;
  approved_by: string;
  created_at: Stamped;
}

/** A token of this issuer, for this audience and with exactly this subject and these claims, is this agent. */
export interface AgentWorkloadsTable {
  id: string;
  agent_id: string;
  issuer: string;
  audience: string;
  subject: string;
  claims: ColumnType<Readonly<Record<string, string>>, string | undefined, string>;
  /** A person, or the API token of a machine. */
  created_by: string;
  created_at: Stamped;
  last_used_at: Generated<Date | null>;
}

/** What an agent last used, and when, a day at most behind. */
export interface AgentUsesTable {
  agent_id: string;
  tool_server_id: string;
  tool_name: string;
  last_used_at: Stamped;
}

/** Tool names per tool server id. */
export type ToolSelection = Readonly<Record<string, readonly string[]>>;

export interface ToolServersTable {
  id: string;
  name: string;
  /** The canonical resource identifier (RFC 8707), the audience of its tokens. */
  resource: string;
  state: 'pending' | 'active' | 'suspended' | 'rejected';
  /** What runs behind the guard, as canonical JSON (see `deploymentId`). */
  deployment: string;
  /** The guard's OAuth client. */
  client_id: string;
  /** Proof of control: the nonce the protected-resource metadata must carry when an administrator accepts. */
  registration_nonce: string;
  key_thumbprint: string;
  owner_id: string | null;
  /** The agent that acts at this address, and may exchange what was issued for the address (RFC 8693). */
  agent_id: Generated<string | null>;
  created_at: Stamped;
  accepted_at: Date | null;
}

export interface ToolsTable {
  tool_server_id: string;
  name: string;
  state: 'accepted' | 'proposed' | 'removed';
  definition: Json<JsonObject>;
  digest: string;
  risk: 'read' | 'write' | 'critical';
  /** A definition that differs from the accepted one and waits for its owner. */
  proposed_definition: Json<JsonObject> | null;
  proposed_digest: string | null;
  proposed_risk: 'read' | 'write' | 'critical' | null;
  updated_at: Stamped;
}
