import { type Kysely, sql } from 'kysely';

/** In order: what may be lost, what is to be told, keys that rotate, the log's identity, indexes that were missing. */
const STATEMENTS = [
  // Unlogged: no write-ahead log to wait for. A crash or a failover empties it, which the mark of its epoch shows.
  `create unlogged table ephemeral_entries (
    key text primary key,
    value text not null,
    expires_at timestamptz not null
  )`,
  `create index ephemeral_entries_expired on ephemeral_entries (expires_at)`,
  `create table ephemeral_memory (
    only_row boolean primary key default true check (only_row),
    place text not null check (place in ('redis', 'postgres')),
    epoch text not null,
    since timestamptz not null default clock_timestamp(),
    servers jsonb not null
  )`,
  `create table outbox (
    id text primary key,
    channel text not null,
    kind text not null,
    subject_id text not null,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'failed', 'dropped')),
    attempts integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    due_at timestamptz not null default clock_timestamp(),
    leased_until timestamptz,
    finished_at timestamptz,
    last_error text,
    unique (channel, kind, subject_id)
  )`,
  `create index outbox_due on outbox (due_at) where state = 'waiting'`,
  `create table outbox_pauses (
    channel text primary key,
    until timestamptz not null
  )`,
  `alter table keys
    drop constraint keys_purpose_check,
    drop constraint keys_state_check,
    add constraint keys_purpose_check check (purpose in ('token', 'lease', 'checkpoint', 'cookie')),
    add constraint keys_state_check check (state in ('active', 'retired', 'revoked')),
    add column activates_at timestamptz not null default clock_timestamp(),
    add column retires_at timestamptz,
    add column verifies_until timestamptz`,
  `insert into settings (name, value) values ('log_epoch', to_jsonb(gen_random_uuid()::text))`,
  // What was asked for twice, because the first answer was lost, is answered with what was done the first time.
  `alter table tasks add column start_key text, add column start_digest text`,
  `create unique index tasks_by_start_key on tasks (agent_id, start_key) where start_key is not null`,
  `alter table links add column used_by text references people (id), add column used_attempt_hash text`,
  // Retention finds its rows by age, and the foreign keys of what it deletes look for rows that still refer to it.
  `create index step_ups_by_time on step_ups (created_at)`,
  `create index step_ups_of_delegation on step_ups (delegation_id)`,
  `create index redemptions_of_step_up on redemptions (step_up_id)`,
  `create index tasks_by_end on tasks (expires_at)`,
  `create index tasks_of_root on tasks (root_id)`,
  `create index tasks_of_parent on tasks (parent_id) where parent_id is not null`,
  `create index delegations_of_parent on delegations (parent_id) where parent_id is not null`,
  `create index checkpoints_by_time on checkpoints (at)`,
  `create index artifacts_by_user_code on artifacts (kind, user_code_hash) where user_code_hash is not null`,
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}
