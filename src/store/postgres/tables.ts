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
  created_at: Stamped;
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
  state: 'active' | 'completed' | 'cancelled';
  /** The oidc-provider Grant that carries its refresh family; null for service agents. */
  oauth_grant_id: string | null;
  /** The idempotency key it was started with, hashed, and the digest of that request; null if there was none. */
  start_key: Generated<string | null>;
  start_digest: Generated<string | null>;
  created_at: Stamped;
  expires_at: Date;
  ended_at: Date | null;
}

export interface DelegationsTable {
  id: string;
  task_id: string;
  parent_id: string | null;
  agent_id: string;
  depth: number;
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
  passkeys: PasskeysTable;
  links: LinksTable;
  sessions: SessionsTable;
  oauth_clients: OAuthClientsTable;
  client_lanes: ClientLanesTable;
  agents: AgentsTable;
  tool_servers: ToolServersTable;
  tools: ToolsTable;
  tasks: TasksTable;
  delegations: DelegationsTable;
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
  policy_versions: PolicyVersionsTable;
  settings: SettingsTable;
}
