import { type Kysely, sql } from 'kysely';

/** In order: people and groups, agents, tasks and their budgets, delegations, federation, signals. */
const STATEMENTS = [
  // Where a person comes from, and by what name their directory knows them. Local people have none of it.
  `alter table people
    add column user_name text,
    add column email text,
    add column external_id text,
    add column source text not null default 'local' check (source in ('local', 'oidc', 'scim')),
    add column updated_at timestamptz not null default now(),
    add column deleted_at timestamptz`,
  `create unique index people_by_user_name on people (lower(user_name)) where user_name is not null and deleted_at is null`,
  `create index people_by_external_id on people (external_id) where external_id is not null`,
  // A person signed in by this subject of this issuer. One person may have several; one subject is one person.
  `create table identities (
    issuer text not null,
    subject text not null,
    person_id text not null references people (id),
    created_at timestamptz not null default clock_timestamp(),
    last_used_at timestamptz,
    primary key (issuer, subject)
  )`,
  `create index identities_of_person on identities (person_id)`,
  `create table groups (
    id text primary key,
    display_name text not null,
    external_id text,
    source text not null check (source in ('local', 'oidc', 'scim')),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    deleted_at timestamptz
  )`,
  `create unique index groups_by_name on groups (lower(display_name)) where deleted_at is null`,
  `create table group_members (
    group_id text not null references groups (id),
    person_id text not null references people (id),
    created_at timestamptz not null default clock_timestamp(),
    primary key (group_id, person_id)
  )`,
  `create index groups_of_person on group_members (person_id)`,
  // For machines that administer: a directory that provisions people, a pipeline that proposes agents. Never to approve.
  `create table api_tokens (
    id text primary key,
    token_hash text not null unique,
    name text not null,
    scopes jsonb not null,
    created_by text references people (id),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    last_used_at timestamptz
  )`,
  `alter table agents
    add column deputy_id text references people (id),
    add column trust_zone text not null default '',
    add column scopes jsonb,
    add column delegation_depth_max integer not null default 0 check (delegation_depth_max between 0 and 8),
    add column ends_at timestamptz,
    add column dpop_required boolean not null default false,
    add column key_days integer check (key_days between 1 and 3650),
    add column key_changed_at timestamptz not null default now(),
    add column key_warned_at timestamptz,
    add column key_holder_ids text[] not null default '{}',
    add column review_days integer check (review_days between 1 and 3650),
    add column reviewed_at timestamptz not null default now(),
    add column review_warned_at timestamptz,
    add column pending_change jsonb,
    add column proposed_by text references people (id),
    add column approved_by text references people (id),
    add column approved_at timestamptz,
    add column state_reason text,
    add column state_changed_at timestamptz not null default now(),
    add column suspended_at timestamptz,
    add column last_used_at timestamptz`,
  `create index agents_of_owner on agents (owner_id)`,
  `create index agents_of_deputy on agents (deputy_id) where deputy_id is not null`,
  // Everyone who ever answered for an agent: nobody among them decides about what began in their time (design §3, 6).
  `create table agent_ownerships (
    id text primary key,
    agent_id text not null references agents (id),
    person_id text not null references people (id),
    role text not null check (role in ('owner', 'deputy')),
    since timestamptz not null default clock_timestamp(),
    until timestamptz
  )`,
  `create index agent_ownerships_of_agent on agent_ownerships (agent_id)`,
  // Agent may hand work to peer (\`to\`), or take work from it (\`from\`). A hop needs both ends.
  `create table agent_peers (
    agent_id text not null references agents (id),
    direction text not null check (direction in ('to', 'from')),
    peer_id text not null references agents (id),
    approved_by text not null references people (id),
    created_at timestamptz not null default clock_timestamp(),
    primary key (agent_id, direction, peer_id)
  )`,
  `create index agent_peers_of_peer on agent_peers (peer_id)`,
  // How a workload proves that it is this agent: a token of its platform, by exact subject and claims.
  `create table agent_workloads (
    id text primary key,
    agent_id text not null references agents (id),
    issuer text not null,
    audience text not null,
    subject text not null,
    claims jsonb not null default '{}',
    created_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    last_used_at timestamptz
  )`,
  `create index agent_workloads_of_agent on agent_workloads (agent_id)`,
  `create index agent_workloads_of_issuer on agent_workloads (issuer)`,
  // What an agent used, a day at most behind: the review compares it with what the agent was given.
  `create table agent_uses (
    agent_id text not null references agents (id),
    tool_server_id text not null references tool_servers (id),
    tool_name text not null,
    last_used_at timestamptz not null default clock_timestamp(),
    primary key (agent_id, tool_server_id, tool_name)
  )`,
  // The agent that acts at this address: it may exchange what was issued for the address (RFC 8693).
  `alter table tool_servers add column agent_id text references agents (id)`,
  `create index tool_servers_of_agent on tool_servers (agent_id) where agent_id is not null`,
  `create table task_templates (
    id text primary key,
    name text not null,
    agent_id text not null references agents (id),
    requester_id text not null references people (id),
    purpose text not null,
    purpose_code text not null,
    tools jsonb not null,
    budget jsonb,
    seconds integer not null check (seconds > 0),
    state text not null check (state in ('pending', 'active', 'retired')),
    proposed_by text references people (id),
    approved_by text references people (id),
    created_at timestamptz not null default clock_timestamp(),
    approved_at timestamptz,
    ends_at timestamptz
  )`,
  `create unique index task_templates_by_name on task_templates (agent_id, name) where state <> 'retired'`,
  `alter table tasks
    add column template_id text references task_templates (id),
    add column origin text not null default 'api' check (origin in ('consent', 'api', 'template', 'sub_task', 'identity_assertion')),
    add column traceparent text`,
  // The sweep ends what nobody ended in time.
  `alter table tasks drop constraint tasks_state_check,
    add constraint tasks_state_check check (state in ('active', 'completed', 'cancelled', 'expired'))`,
  `create index tasks_due on tasks (expires_at) where state = 'active'`,
  // Counted apart from the task, whose row everything that is decided in it shares a lock on.
  `create table task_budgets (
    task_id text not null references tasks (id),
    what text not null,
    maximum numeric not null check (maximum >= 0),
    used numeric not null default 0 check (used >= 0),
    primary key (task_id, what),
    constraint never_overspent check (used <= maximum)
  )`,
  // \`exchange\` is a hop; \`root\` begins a task. The chains are fixed when the row is made: root first, this one last.
  `alter table delegations
    add column kind text not null default 'root' check (kind in ('root', 'exchange')),
    add column agent_chain text[] not null default '{}',
    add column task_chain text[] not null default '{}',
    add column delegation_chain text[] not null default '{}',
    add column tools jsonb,
    add column constraints jsonb,
    add column expires_at timestamptz,
    add column confirmation_jkt text,
    add column content_digest text`,
  // A vote of somebody who was offboarded before it was used. It never counts again, whatever becomes of them.
  `alter table decisions add column voided_at timestamptz`,
  // Whom shared signals go to, and what waits for each (OpenID SSF 1.0). One process at a time pushes to a stream.
  `create table signal_streams (
    id text primary key,
    receiver text not null,
    description text,
    method text not null check (method in ('push', 'poll')),
    endpoint text,
    authorization_sealed bytea,
    events_requested jsonb not null,
    status text not null default 'enabled' check (status in ('enabled', 'paused', 'disabled')),
    status_reason text,
    position bigint not null,
    lease_number bigint not null default 0,
    leased_until timestamptz,
    retry_at timestamptz not null default clock_timestamp(),
    failures integer not null default 0,
    failing_since timestamptz,
    last_error text,
    last_delivered_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
  )`,
  `create index signal_streams_of_receiver on signal_streams (receiver)`,
  `create table signal_messages (
    jti text primary key,
    stream_id text not null references signal_streams (id) on delete cascade,
    sequence_number bigint generated always as identity,
    claims text not null,
    state text not null default 'waiting' check (state in ('waiting', 'failed')),
    attempts integer not null default 0,
    refusals integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    last_error text
  )`,
  `create index signal_messages_waiting on signal_messages (stream_id, sequence_number) where state = 'waiting'`,
  `create index signal_messages_failed on signal_messages (stream_id, sequence_number) where state = 'failed'`,
  // What other transmitters told us, for as long as they may tell it again.
  `create table received_signals (
    issuer text not null,
    jti text not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (issuer, jti)
  )`,
  `create index received_signals_by_age on received_signals (received_at)`,
  // Token Status List: one bit for each token that is still alive, by its index. Processes take indexes in blocks.
  `create sequence token_status_blocks as bigint minvalue 0 start with 0`,
  `create table token_statuses (
    jti text primary key,
    status_index bigint not null unique,
    delegation_id text,
    issued_at timestamptz not null,
    expires_at timestamptz not null
  )`,
  `create index token_statuses_expired on token_statuses (expires_at)`,
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}
