-- Run this on a PostgreSQL that was restored to an earlier moment, before the first server starts on it:
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -1 -f deploy/after_restore.sql
-- What was revoked, denied, used or ended after that moment is forgotten, so whatever could be misused because of that ends
-- here. People sign in again, agents start their tasks again, and calls that wait for approval are asked for again. What it
-- does is not in the audit log: keep its output with your notes. docs/operations.md says what else to look at.

-- Guards remember how far they had read. A new epoch makes them read everything anew.
update settings set value = to_jsonb(gen_random_uuid()::text) where name = 'log_epoch';

-- A task that has ended meanwhile would run again, with its tokens and its delegations.
update tasks set state = 'cancelled', ended_at = clock_timestamp() where state = 'active';

-- A grant that was used meanwhile would look unused, and a request that was denied would look open.
update grants set revoked_at = clock_timestamp() where revoked_at is null and uses < max_uses;
update step_ups
  set state = 'withdrawn', reason = 'The database was restored from a backup.', decided_at = clock_timestamp()
  where state in ('registered', 'open');

-- A session, a link, a code or a refresh token that was ended or used meanwhile would work again.
update sessions set revoked_at = clock_timestamp() where revoked_at is null;
update links set expires_at = clock_timestamp() where used_at is null and expires_at > clock_timestamp();
delete from artifacts;

-- Whatever Redis or PostgreSQL remembered of single use is of another time: the servers begin a new memory.
truncate ephemeral_entries;
delete from ephemeral_memory;

-- Messages that were sent meanwhile would go out again.
update outbox set state = 'dropped', finished_at = clock_timestamp(), leased_until = null,
  last_error = 'The database was restored from a backup.' where state = 'waiting';
delete from outbox_pauses;

-- Who could act at that moment: compare it with what you know of the time since.
select case when is_administrator then 'administrator' else 'person' end as what, id, display_name as name
  from people where state = 'active'
union all select 'agent', id, name from agents where state = 'active'
union all select 'tool server', id, name from tool_servers where state = 'active'
order by what, name;
