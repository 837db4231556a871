import type { ColumnType, Generated } from 'kysely';
import type { JsonObject, JsonValue } from '../../kernel/json.ts';

/** A jsonb column: read as a value, written as JSON text. */
type Json<Value> = ColumnType<Value, string, string>;
/** A column the database fills with its own clock. */
type Stamped = ColumnType<Date, Date | undefined, Date>;

export interface PeopleTable {
  id: string;
  display_name: string;
  state: 'active' | 'disabled';
  is_administrator: boolean;
  /** WebAuthn user handle (64 random bytes): never a name or a mail address. */
  user_handle: Buffer;
  /** As their directory names them: unique among people who are not deleted, whatever the case of its letters. */
  user_name: Generated<string | null>;
  email: Generated<string | null>;
  external_id: Generated<string | null>;
  source: Generated<'local' | 'oidc' | 'scim'>;
  created_at: Stamped;
  updated_at: Stamped;
  /** Deleted by their directory; the row stays, since decisions name it. */
  deleted_at: Generated<Date | null>;
}

/** A subject of an upstream issuer, and the one person it is. */
export interface IdentitiesTable {
  issuer: string;
  subject: string;
  person_id: string;
  created_at: Stamped;
  last_used_at: Generated<Date | null>;
}

/** A credential for machines that administer; what it may do is its scopes. It never approves anything. */
export interface ApiTokensTable {
  id: string;
  token_hash: string;
  name: string;
  scopes: Json<readonly string[]>;
  created_by: string | null;
  created_at: Stamped;
  expires_at: Date;
  revoked_at: Generated<Date | null>;
  last_used_at: Generated<Date | null>;
}

export interface GroupsTable {
  id: string;
  display_name: string;
  external_id: string | null;
  source: 'local' | 'oidc' | 'scim';
  created_at: Stamped;
  updated_at: Stamped;
  deleted_at: Generated<Date | null>;
}

export interface GroupMembersTable {
  group_id: string;
  person_id: string;
  created_at: Stamped;
}

export interface PasskeysTable {
  credential_id: string;
  person_id: string;
  public_key: Buffer;
  counter: number;
  transports: Json<readonly string[]>;
  device_type: string;
  backed_up: boolean;
  name: string;
  created_at: Stamped;
  last_used_at: Date | null;
}

export interface LinksTable {
  token_hash: string;
  kind: 'set_up' | 'invitation' | 'sign_in';
  /** Who signs in by a `sign_in` link; null for a person who does not exist yet. */
  person_id: string | null;
  is_administrator: boolean;
  created_by: string | null;
  created_at: Stamped;
  expires_at: Date;
  used_at: Date | null;
  /** Who was signed in, and by which showing of its page: that page may send its form again. */
  used_by: Generated<string | null>;
  used_attempt_hash: Generated<string | null>;
}

export interface SessionsTable {
  id_hash: string;
  person_id: string;
  amr: Json<readonly string[]>;
  created_at: Stamped;
  authenticated_at: Stamped;
  expires_at: Date;
  revoked_at: Date | null;
}

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

export interface TasksTable {
  id: string;
  root_id: string;
  parent_id: string | null;
  requester_id: string;
  agent_id: string;
  client_id: string;
  purpose: string;
  purpose_code: string;
  tools: Json<ToolSelection>;
  state: 'active' | 'completed' | 'cancelled' | 'expired';
  /** The oidc-provider Grant that carries its refresh family; null for service agents. */
  oauth_grant_id: string | null;
  /** The idempotency key it was started with, hashed, and the digest of that request; null if there was none. */
  start_key: Generated<string | null>;
  start_digest: Generated<string | null>;
  template_id: Generated<string | null>;
  origin: Generated<'consent' | 'api' | 'template' | 'sub_task' | 'identity_assertion'>;
  /** W3C Trace Context of the request that started it. */
  traceparent: Generated<string | null>;
  created_at: Stamped;
  expires_at: Date;
  ended_at: Date | null;
}

/** Approved in advance: its agent starts such a task again and again, without asking. */
export interface TaskTemplatesTable {
  id: string;
  name: string;
  agent_id: string;
  requester_id: string;
  purpose: string;
  purpose_code: string;
  tools: Json<ToolSelection>;
  budget: Json<JsonObject> | null;
  seconds: number;
  state: 'pending' | 'active' | 'retired';
  /** Who answers for the proposal: who made the API token, or owns the agent; null for a token of the command line. */
  proposed_by: string | null;
  approved_by: string | null;
  created_at: Stamped;
  approved_at: Date | null;
  ends_at: Date | null;
}

/** `what` is `calls`, `step_ups`, `elevated_grants`, or `amount <tool server id> <tool, percent-encoded> <JSON pointer>`. */
export interface TaskBudgetsTable {
  task_id: string;
  what: string;
  /** Decimals, as text: amounts are never binary fractions. */
  maximum: string;
  used: ColumnType<string, string | undefined, string>;
}

/**
 * `root` begins a task; `exchange` is a hop within it. The chains are fixed when the row is made, root first and this one
 * last; a row of a release before 0.2 has empty ones and stands alone (`lineage.ts`).
 */
export interface DelegationsTable {
  id: string;
  task_id: string;
  parent_id: string | null;
  agent_id: string;
  depth: number;
  kind: Generated<'root' | 'exchange'>;
  agent_chain: Generated<string[]>;
  task_chain: Generated<string[]>;
  delegation_chain: Generated<string[]>;
  /** What of the task's tools this hop includes; null means all. */
  tools: ColumnType<ToolSelection | null, string | null | undefined, string | null>;
  /** What arguments must be like, those of every hop above included; null means anything. */
  constraints: ColumnType<readonly JsonObject[] | null, string | null | undefined, string | null>;
  /** Its own end; null means the task's. */
  expires_at: Generated<Date | null>;
  /** Thumbprint of the key that its tokens are bound to, if they are (RFC 9449). */
  confirmation_jkt: Generated<string | null>;
  /** Digest of what it hands on, by which an exchange that comes again finds it; null for those that begin a task. */
  content_digest: Generated<string | null>;
  created_at: Stamped;
  revoked_at: Date | null;
}

export interface StepUpsTable {
  id: string;
  txn: string;
  state: 'registered' | 'open' | 'approved' | 'denied' | 'expired' | 'withdrawn';
  revision: number;
  binding_digest: string;
  action_digest: string;
  requester_id: string;
  agent_id: string;
  task_id: string;
  delegation_id: string;
  client_id: string;
  tool_server_id: string;
  tool_name: string;
  risk: string;
  policy_version: string;
  requirements: Json<JsonObject>;
  /** JCS of the action, encrypted under this step-up's own data key, which is destroyed at retention. */
  action_sealed: Buffer | null;
  data_key_wrapped: Buffer | null;
  challenge: string | null;
  guard_instance: string;
  reason: string | null;
  created_at: Stamped;
  opened_at: Date | null;
  expires_at: Date;
  decided_at: Date | null;
}

export interface DecisionsTable {
  id: string;
  step_up_id: string;
  revision: number;
  person_id: string;
  decision: 'approve' | 'deny';
  binding_digest: string;
  view_digest: string;
  reason: string | null;
  amr: Json<readonly string[]>;
  decided_at: Stamped;
  /** Who made it was offboarded before it was used: it does not count any more, also if they come back. */
  voided_at: Generated<Date | null>;
}

export interface GrantsTable {
  id: string;
  step_up_id: string;
  binding_digest: string;
  gates: Json<readonly string[]>;
  max_uses: number;
  uses: Generated<number>;
  created_at: Stamped;
  expires_at: Date;
  revoked_at: Date | null;
}

export interface RedemptionsTable {
  id: string;
  grant_id: string;
  step_up_id: string;
  binding_digest: string;
  use_no: number;
  attempt_id: string;
  guard_instance: string;
  redeemed_at: Stamped;
  outcome: Generated<'unknown' | 'done' | 'failed'>;
  outcome_sealed: Buffer | null;
  outcome_at: Date | null;
}

export interface RevokedTokensTable {
  jti: string;
  expires_at: Date;
}

export interface EventsTable {
  /** Order of insertion, not of commit: only `position` orders the log. */
  id: Generated<number>;
  position: number | null;
  kind: string;
  /** Canonical JSON of the leaf: kind, time, ids, salted commitment to the personal part. */
  body: string;
  body_digest: string;
  mac: Buffer;
  /** Names and free text, outside the leaf behind its salted commitment; may be erased. */
  personal: Json<JsonObject> | null;
  at: Stamped;
}

export interface CheckpointsTable {
  size: number;
  root: string;
  note: string;
  /** Hashes of the perfect subtrees at this size, so that the sealer can go on without reading all leaves. */
  frontier: Json<readonly string[]>;
  at: Stamped;
}

export interface ArtifactsTable {
  kind: string;
  id_hash: string;
  payload_sealed: Buffer;
  grant_id_hash: string | null;
  uid_hash: string | null;
  user_code_hash: string | null;
  consumed_at: Date | null;
  expires_at: Date | null;
}

export interface RevokedArtifactGrantsTable {
  grant_id_hash: string;
  revoked_at: Stamped;
}

export type KeyPurpose = 'token' | 'lease' | 'checkpoint' | 'cookie';

/**
 * A key verifies from `created_at` and signs from `activates_at` to `retires_at`, when a younger one takes over. What it is
 * at a moment follows from these times (`keys/state.ts`).
 */
export interface KeysTable {
  kid: string;
  purpose: KeyPurpose;
  algorithm: string;
  public_jwk: Json<JsonObject>;
  /** Empty once the key neither signs nor verifies. */
  private_sealed: Buffer;
  /** What was decided of it: `retired` has an end, `verifies_until`; `revoked` verifies nothing from that moment. */
  state: 'active' | 'retired' | 'revoked';
  created_at: Stamped;
  activates_at: Stamped;
  retires_at: Date | null;
  verifies_until: Date | null;
}

/** What PostgreSQL keeps of what may be lost, where there is no Redis (unlogged: a crash empties it). */
export interface EphemeralEntriesTable {
  key: string;
  value: string;
  expires_at: Date;
}

/** One row: where the memory of replay marks is, and since when it remembers. */
export interface EphemeralMemoryTable {
  only_row: Generated<boolean>;
  place: 'redis' | 'postgres';
  epoch: string;
  since: Stamped;
  /** `run_id` of every Redis primary that holds it. */
  servers: Json<readonly string[]>;
}

/** What is to be told to somebody outside; written in the transaction that decided so. */
export interface OutboxTable {
  id: string;
  channel: string;
  kind: string;
  subject_id: string;
  state: Generated<'waiting' | 'sent' | 'failed' | 'dropped'>;
  attempts: Generated<number>;
  created_at: Stamped;
  due_at: Stamped;
  /** A process is sending it, until then: nobody else takes it. */
  leased_until: Date | null;
  finished_at: Date | null;
  last_error: string | null;
}

/** A receiver asked to be left alone; every process keeps to it. */
export interface OutboxPausesTable {
  channel: string;
  until: Date;
}

/** Whom security events are told to (OpenID Shared Signals Framework 1.0). */
export interface SignalStreamsTable {
  id: string;
  /** The name of the API tokens that manage it, and the audience of its events: a token can change, the receiver stays. */
  receiver: string;
  description: string | null;
  method: 'push' | 'poll';
  /** Where events are pushed to; null for those that poll. */
  endpoint: string | null;
  /** The Authorization header the receiver asked for, sealed. */
  authorization_sealed: Buffer | null;
  events_requested: Json<readonly string[]>;
  status: Generated<'enabled' | 'paused' | 'disabled'>;
  status_reason: string | null;
  /** Events of the log below this position were turned into messages. */
  position: number;
  /** Grows with each process that begins to push: what an earlier one has to record counts no more. */
  lease_number: Generated<number>;
  leased_until: Generated<Date | null>;
  /** Nothing is pushed before. */
  retry_at: Stamped;
  /** Attempts since the last one that succeeded. */
  failures: Generated<number>;
  failing_since: Generated<Date | null>;
  last_error: Generated<string | null>;
  last_delivered_at: Generated<Date | null>;
  created_at: Stamped;
  updated_at: Stamped;
}

/** A security event on its way; it is deleted once the receiver has it, and signed anew with every attempt. */
export interface SignalMessagesTable {
  jti: string;
  stream_id: string;
  /** The order in which the receiver gets them. */
  sequence_number: Generated<number>;
  /** The claims of the security event token, as canonical JSON. */
  claims: string;
  /** `failed`: given up, until somebody asks for another attempt. */
  state: Generated<'waiting' | 'failed'>;
  attempts: Generated<number>;
  /** How often the receiver refused this very message. */
  refusals: Generated<number>;
  created_at: Stamped;
  last_error: Generated<string | null>;
}

/** A security event of another transmitter that was acted on, so that it is acted on once. */
export interface ReceivedSignalsTable {
  issuer: string;
  jti: string;
  received_at: Stamped;
}

/** The bit of a token in the Token Status List, while the token may be alive. */
export interface TokenStatusesTable {
  jti: string;
  status_index: number;
  delegation_id: string | null;
  issued_at: Date;
  expires_at: Date;
}

export interface PolicyVersionsTable {
  serial: Generated<number>;
  version: string;
  files: Json<JsonValue>;
  activated_at: Stamped;
}

export interface SettingsTable {
  name: string;
  value: Json<JsonValue>;
}

export interface Tables {
  people: PeopleTable;
  api_tokens: ApiTokensTable;
  identities: IdentitiesTable;
  groups: GroupsTable;
  group_members: GroupMembersTable;
  passkeys: PasskeysTable;
  links: LinksTable;
  sessions: SessionsTable;
  oauth_clients: OAuthClientsTable;
  client_lanes: ClientLanesTable;
  agents: AgentsTable;
  agent_ownerships: AgentOwnershipsTable;
  agent_peers: AgentPeersTable;
  agent_uses: AgentUsesTable;
  agent_workloads: AgentWorkloadsTable;
  tool_servers: ToolServersTable;
  tools: ToolsTable;
  tasks: TasksTable;
  delegations: DelegationsTable;
  task_budgets: TaskBudgetsTable;
  task_templates: TaskTemplatesTable;
  step_ups: StepUpsTable;
  decisions: DecisionsTable;
  grants: GrantsTable;
  redemptions: RedemptionsTable;
  revoked_tokens: RevokedTokensTable;
  events: EventsTable;
  checkpoints: CheckpointsTable;
  artifacts: ArtifactsTable;
  revoked_artifact_grants: RevokedArtifactGrantsTable;
  keys: KeysTable;
  ephemeral_entries: EphemeralEntriesTable;
  ephemeral_memory: EphemeralMemoryTable;
  outbox: OutboxTable;
  outbox_pauses: OutboxPausesTable;
  received_signals: ReceivedSignalsTable;
  signal_messages: SignalMessagesTable;
  signal_streams: SignalStreamsTable;
  token_statuses: TokenStatusesTable;
  policy_versions: PolicyVersionsTable;
  settings: SettingsTable;
}
