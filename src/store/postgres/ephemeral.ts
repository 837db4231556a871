import { type Kysely, type RawBuilder, sql } from 'kysely';
import { sha256Base64url } from '../../kernel/digest.ts';
import { checkEntry } from '../check_entry.ts';
import type { EphemeralStore } from '../ephemeral.ts';
import { ENTRIES_PRUNED_TOGETHER_MAX } from '../place/limits.ts';
import { MemoryLost } from '../redis/errors.ts';
import type { Notifications } from './notifications.ts';
import type { Tables } from './tables.ts';

/** The ephemeral port on PostgreSQL, and what a change of epoch needs of it. */
export interface PostgresEphemeralStore extends Omit<EphemeralStore, 'remembersSince'> {
  /** Writes the mark of an epoch: without it every operation in that epoch rejects with `MemoryLost`. */
  seed(epochId: string): Promise<void>;
  /** Takes the mark away. */
  drop(epochId: string): Promise<void>;
  /** Deletes some of what expired; answers how much. Run it periodically. */
  prune(): Promise<number>;
}

/**
 * Entries in an unlogged table, which costs no wait for the disk. A crash of PostgreSQL or a failover empties it, and
 * with it the mark of the epoch, which every statement looks at. Keys are hashed; every entry belongs to one epoch.
 */
export function createPostgresEphemeralStore(options: {
  readonly db: Kysely<Tables>;
  readonly notifications: Notifications;
  /** The id of the epoch of the moment; every operation reads it once. */
  readonly epoch: () => string;
}): PostgresEphemeralStore {
  const { db, notifications } = options;
  let isClosed = false;
  const place = (key: string, value?: string) => {
    if (isClosed) throw new Error('The ephemeral store is closed.');
    checkEntry(key, value);
    const epochId = options.epoch();
    return { mark: markOf(epochId), key: `${epochId}:${sha256Base64url(key)}` };
  };
  const run = async (query: RawBuilder<Found>): Promise<string | null> => {
    const { rows } = await query.execute(db);
    const found = rows[0]!;
    if (!found.held)
      throw new MemoryLost('PostgreSQL does not hold this epoch of the memory: it crashed or failed over.');
    return found.value;
  };
  return {
    async put(key, value, ttlMs) {
      const at = place(key, value);
      await run(ttlMs > 0 ? putQuery(at, value, ttlMs) : takeQuery(at));
    },
    async get(key) {
      const at = place(key);
      return decoded(await run(getQuery(at)));
    },
    async take(key) {
      const at = place(key);
      return decoded(await run(takeQuery(at)));
    },
    async putIfAbsent(key, value, ttlMs) {
      const at = place(key, value);
      if (ttlMs <= 0) return false;
      return (await run(putIfAbsentQuery(at, value, ttlMs))) !== null;
    },
    async increment(key, ttlMs) {
      const at = place(key);
      return Number(await run(incrementQuery(at, ttlMs)));
    },
    async delete(key) {
      const at = place(key);
      await run(takeQuery(at));
    },
    async publish(channel, message) {
      if (isClosed) throw new Error('The ephemeral store is closed.');
      await notifications.publish(channel, message);
    },
    async subscribe(channel, listener) {
      if (isClosed) throw new Error('The ephemeral store is closed.');
      return notifications.subscribe(channel, listener);
    },
    async close() {
      isClosed = true;
    },
    ...marks(db),
    prune: () => prune(db),
  };
}

/** The mark of an epoch, which is lost together with its entries. */
function marks(db: Kysely<Tables>): Pick<PostgresEphemeralStore, 'seed' | 'drop'> {
  return {
    async seed(epochId) {
      const mark = { key: markOf(epochId), value: '', expires_at: sql<Date>`'infinity'` };
      await db
        .insertInto('ephemeral_entries')
        .values(mark)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    },
    async drop(epochId) {
      await db.deleteFrom('ephemeral_entries').where('key', '=', markOf(epochId)).execute();
    },
  };
}

interface Found {
  readonly held: boolean;
  readonly value: string | null;
}

interface EntryPlace {
  readonly mark: string;
  readonly key: string;
}

const markOf = (epochId: string) => `${epochId}:mark`;

const now = sql`clock_timestamp()`;
const until = (ttlMs: number) => sql`clock_timestamp() + make_interval(secs => ${ttlMs / 1000}::float8)`;
const held = (mark: string) => sql`held as (select 1 from ephemeral_entries where key = ${mark})`;

// Each is one statement, so that it is atomic and sees the mark of the epoch as it was with the entry.

function getQuery({ mark, key }: EntryPlace): RawBuilder<Found> {
  return sql`select exists (select 1 from ephemeral_entries where key = ${mark}) as held,
    (select value from ephemeral_entries where key = ${key} and expires_at > ${now}) as value`;
}

function takeQuery({ mark, key }: EntryPlace): RawBuilder<Found> {
  return sql`with ${held(mark)},
    taken as (delete from ephemeral_entries where key = ${key} and exists (select 1 from held) returning value, expires_at)
    select exists (select 1 from held) as held, (select value from taken where expires_at > ${now}) as value`;
}

function putQuery({ mark, key }: EntryPlace, value: string, ttlMs: number): RawBuilder<Found> {
  return sql`with ${held(mark)},
    written as (
      insert into ephemeral_entries (key, value, expires_at)
      select ${key}::text, ${encoded(value)}::text, ${until(ttlMs)} from held
      on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at
      returning key)
    select exists (select 1 from held) as held, (select key from written) as value`;
}

function putIfAbsentQuery({ mark, key }: EntryPlace, value: string, ttlMs: number): RawBuilder<Found> {
  return sql`with ${held(mark)},
    written as (
      insert into ephemeral_entries (key, value, expires_at)
      select ${key}::text, ${encoded(value)}::text, ${until(ttlMs)} from held
      on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at
        where ephemeral_entries.expires_at <= ${now}
      returning key)
    select exists (select 1 from held) as held, (select key from written) as value`;
}

function incrementQuery({ mark, key }: EntryPlace, ttlMs: number): RawBuilder<Found> {
  const isOver = sql`ephemeral_entries.expires_at <= ${now}`;
  return sql`with ${held(mark)},
    written as (
      insert into ephemeral_entries (key, value, expires_at)
      select ${key}::text, '1', ${until(ttlMs)} from held
      on conflict (key) do update set
        value = case when ${isOver} then '1' else (ephemeral_entries.value::bigint + 1)::text end,
        expires_at = case when ${isOver} then excluded.expires_at else ephemeral_entries.expires_at end
      returning value)
    select exists (select 1 from held) as held, (select value from written) as value`;
}

// PostgreSQL keeps no U+0000 in a text. Digits stay as they are, so that a value that was put can be counted on.
function encoded(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\u0000', '\\0');
}

function decoded(text: string | null): string | undefined {
  return text?.replace(/\\(.)/g, (_escape, one: string) => (one === '0' ? '\u0000' : one));
}

async function prune(db: Kysely<Tables>): Promise<number> {
  const deleted = await sql`
    delete from ephemeral_entries where key in (
      select key from ephemeral_entries where expires_at <= clock_timestamp()
      limit ${ENTRIES_PRUNED_TOGETHER_MAX} for update skip locked
    )`.execute(db);
  return Number(deleted.numAffectedRows ?? 0n);
}
