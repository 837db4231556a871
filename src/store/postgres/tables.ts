import type {
  AgentOwnershipsTable,
  AgentPeersTable,
  AgentsTable,
  AgentUsesTable,
  AgentWorkloadsTable,
  ClientLanesTable,
  OAuthClientsTable,
  ToolServersTable,
  ToolsTable,
} from './tables/agent_tables.ts';
import type { DecisionsTable, GrantsTable, RedemptionsTable, StepUpsTable } from './tables/approval_tables.ts';
import type {
  OutboxPausesTable,
  OutboxTable,
  ReceivedSignalsTable,
  SignalMessagesTable,
  SignalStreamsTable,
  TokenStatusesTable,
} from './tables/message_tables.ts';
import type {
  ApiTokensTable,
  GroupMembersTable,
  GroupsTable,
  IdentitiesTable,
  LinksTable,
  PasskeysTable,
  PeopleTable,
  SessionsTable,
} from './tables/people_tables.ts';
import type {
  ArtifactsTable,
  CheckpointsTable,
  EphemeralEntriesTable,
  EphemeralMemoryTable,
  EventsTable,
  KeysTable,
  PolicyVersionsTable,
  RevokedArtifactGrantsTable,
  RevokedTokensTable,
  SettingsTable,
} from './tables/server_tables.ts';
import type { DelegationsTable, TaskBudgetsTable, TasksTable, TaskTemplatesTable } from './tables/task_tables.ts';

export type {
  AgentsTable,
  AgentWorkloadsTable,
  ToolSelection,
  ToolServersTable,
  ToolsTable,
} from './tables/agent_tables.ts';
export type { GrantsTable, StepUpsTable } from './tables/approval_tables.ts';
export type { OutboxTable, SignalStreamsTable } from './tables/message_tables.ts';
export type { GroupsTable, LinksTable } from './tables/people_tables.ts';
export type { ArtifactsTable, EphemeralMemoryTable, KeyPurpose, KeysTable } from './tables/server_tables.ts';
export type { DelegationsTable, TasksTable, TaskTemplatesTable } from './tables/task_tables.ts';

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
