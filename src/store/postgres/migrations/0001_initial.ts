import { type Kysely, sql } from 'kysely';

/** Statements in order: people and agents, tools, tasks, step-ups, events, provider artifacts. */
const STATEMENTS = [
  `create table people (
    id text primary key,
    display_name text not null check (length(display_name) between 1 and 200),
    state text not null default 'active' check (state in ('active', 'disabled')),
    is_administrator boolean not null default false,
    user_handle bytea not null unique,
    created_at timestamptz not null default clock_timestamp()
  )`,
  `create table passkeys (
    credential_id text primary key,
    person_id text not null references people (id),
    public_key bytea not null,
    counter bigint not null,
    transports jsonb not null,
    device_type text not null,
    backed_up boolean not null,
    name text not null,
    created_at timestamptz not null default clock_timestamp(),
    last_used_at timestamptz
  )`,
  `create index passkeys_of_person on passkeys (person_id)`,
  `create table links (
    token_hash text primary key,
    kind text not null check (kind in ('set_up', 'invitation', 'sign_in')),
    person_id text references people (id),
    is_administrator boolean not null,
    created_by text references people (id),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    used_at timestamptz
  )`,
  `create table sessions (
    id_hash text primary key,
    person_id text not null references people (id),
    amr jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    authenticated_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    revoked_at timestamptz
  )`,
  `create table oauth_clients (
    client_id text primary key,
    source text not null check (source in ('registered', 'guard', 'agent')),
    metadata jsonb not null,
    created_at timestamptz not null default clock_timestamp()
  )`,
  `create table client_lanes (
    client_id text not null,
    person_id text not null,
    scope_lane text not null check (scope_lane in ('works', 'fails')),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (client_id, person_id)
  )`,
  `create table agents (
    id text primary key,
    kind text not null check (kind in ('interactive', 'service')),
    client_id text not null,
    person_id text references people (id),
    owner_id text not null references people (id),
    name text not null,
    purpose text not null,
    state text not null check (state in ('pending', 'active', 'suspended', 'offboarded')),
    bound jsonb,
    created_at timestamptz not null default clock_timestamp(),
    check ((kind = 'interactive') = (person_id is not null))
  )`,
  `create unique index agents_interactive on agents (client_id, person_id) where kind = 'interactive'`,
  `create unique index agents_service on agents (client_id) where kind = 'service'`,
  `create table tool_servers (
    id text primary key,
    name text not null unique,
    resource text not null unique,
    state text not null check (state in ('pending', 'active', 'suspended', 'rejected')),
    deployment text not null,
    client_id text not null unique,
    registration_nonce text not null,
    key_thumbprint text not null,
    owner_id text references people (id),
    created_at timestamptz not null default clock_timestamp(),
    accepted_at timestamptz
  )`,
  `create table tools (
    tool_server_id text not null references tool_servers (id),
    name text not null,
    state text not null check (state in ('accepted', 'proposed', 'removed')),
    definition json not null,
    digest text not null,
    risk text not null check (risk in ('read', 'write', 'critical')),
    proposed_definition json,
    proposed_digest text,
    proposed_risk text check (proposed_risk in ('read', 'write', 'critical')),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (tool_server_id, name)
  )`,
  `create table tasks (
    id text primary key,
    root_id text not null references tasks (id),
    parent_id text references tasks (id),
    requester_id text not null references people (id),
    agent_id text not null references agents (id),
    client_id text not null,
    purpose text not null,
    purpose_code text not null,
    tools jsonb not null,
    state text not null check (state in ('active', 'completed', 'cancelled')),
    oauth_grant_id text unique,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    ended_at timestamptz
  )`,
  `create index tasks_of_agent on tasks (agent_id)`,
  `create table delegations (
    id text primary key,
    task_id text not null references tasks (id),
    parent_id text references delegations (id),
    agent_id text not null references agents (id),
    depth integer not null check (depth between 0 and 8),
    created_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz
  )`,
  `create index delegations_of_task on delegations (task_id)`,
  `create table step_ups (
    id text primary key,
    txn text not null unique,
    state text not null check (state in ('registered', 'open', 'approved', 'denied', 'expired', 'withdrawn')),
    revision integer not null default 1,
    binding_digest text not null,
    action_digest text not null,
    requester_id text not null references people (id),
    agent_id text not null references agents (id),
    task_id text not null references tasks (id),
    delegation_id text not null references delegations (id),
    client_id text not null,
    tool_server_id text not null references tool_servers (id),
    tool_name text not null,
    risk text not null,
    policy_version text not null,
    requirements jsonb not null,
    action_sealed bytea,
    data_key_wrapped bytea,
    challenge text,
    guard_instance text not null,
    reason text,
    created_at timestamptz not null default clock_timestamp(),
    opened_at timestamptz,
    expires_at timestamptz not null,
    decided_at timestamptz
  )`,
  // Deduplication: at most one undecided step-up per binding digest (design §3).
  `create unique index step_ups_undecided on step_ups (binding_digest) where state in ('registered', 'open')`,
  `create index step_ups_by_binding on step_ups (binding_digest, created_at desc)`,
  `create index step_ups_by_agent on step_ups (agent_id, created_at desc)`,
  `create index step_ups_by_task on step_ups (task_id)`,
  `create index step_ups_open on step_ups (expires_at) where state in ('registered', 'open')`,
  `create table decisions (
    id text primary key,
    step_up_id text not null references step_ups (id),
    revision integer not null,
    person_id text not null references people (id),
    decision text not null check (decision in ('approve', 'deny')),
    binding_digest text not null,
    view_digest text not null,
    reason text,
    amr jsonb not null,
    decided_at timestamptz not null default clock_timestamp(),
    unique (step_up_id, revision, person_id)
  )`,
  `create table grants (
    id text primary key,
    step_up_id text not null unique references step_ups (id),
    binding_digest text not null,
    gates jsonb not null,
    max_uses integer not null check (max_uses > 0),
    uses integer not null default 0 check (uses between 0 and max_uses),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    revoked_at timestamptz
  )`,
  `create index grants_by_binding on grants (binding_digest)`,
  `create table redemptions (
    id text primary key,
    grant_id text not null references grants (id),
    step_up_id text not null references step_ups (id),
    binding_digest text not null,
    use_no integer not null,
    attempt_id text not null,
    guard_instance text not null,
    redeemed_at timestamptz not null default clock_timestamp(),
    outcome text not null default 'unknown' check (outcome in ('unknown', 'done', 'failed')),
    outcome_sealed bytea,
    outcome_at timestamptz,
    unique (grant_id, use_no),
    unique (guard_instance, attempt_id)
  )`,
  `create index redemptions_by_binding on redemptions (binding_digest, redeemed_at desc)`,
  `create table revoked_tokens (jti text primary key, expires_at timestamptz not null)`,
  `create table events (
    id bigint generated always as identity primary key,
    position bigint unique,
    kind text not null,
    body text not null,
    body_digest text not null,
    mac bytea not null,
    personal jsonb,
    at timestamptz not null default clock_timestamp()
  )`,
  `create index events_unsealed on events (id) where position is null`,
  `create table checkpoints (
    size bigint primary key,
    root text not null,
    note text not null,
    frontier jsonb not null,
    at timestamptz not null default clock_timestamp()
  )`,
  `create table artifacts (
    kind text not null,
    id_hash text not null,
    payload_sealed bytea not null,
    grant_id_hash text,
    uid_hash text,
    user_code_hash text,
    consumed_at timestamptz,
    expires_at timestamptz,
    primary key (kind, id_hash)
  )`,
  `create index artifacts_of_grant on artifacts (grant_id_hash) where grant_id_hash is not null`,
  `create index artifacts_by_uid on artifacts (kind, uid_hash) where uid_hash is not null`,
  `create index artifacts_expired on artifacts (expires_at)`,
  // A revoked grant stays revoked although a save that was under way arrives later.
  `create table revoked_artifact_grants (grant_id_hash text primary key, revoked_at timestamptz not null default clock_timestamp())`,
  `create table keys (
    kid text primary key,
    purpose text not null check (purpose in ('token', 'checkpoint', 'cookie')),
    algorithm text not null,
    public_jwk jsonb not null,
    private_sealed bytea not null,
    state text not null check (state in ('active', 'retired')),
    created_at timestamptz not null default clock_timestamp()
  )`,
  `create table policy_versions (
    serial bigint generated always as identity primary key,
    version text not null,
    files jsonb not null,
    activated_at timestamptz not null default clock_timestamp()
  )`,
  `create table settings (name text primary key, value jsonb not null)`,
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}
