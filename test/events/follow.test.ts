import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { append } from '../../src/events/append.ts';
import { type CheckpointKey, loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import { createLogFollower, type FollowedEvent, type LogFollower } from '../../src/events/follow.ts';
import { FOLLOW_EVENTS_MAX, FOLLOW_POLL_MS } from '../../src/events/limits.ts';
import { sealBatch } from '../../src/events/seal.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { CHANNELS } from '../../src/store/wake.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let store: Store;
let key: CheckpointKey;
const followers: LogFollower[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  key = await loadCheckpointKey(store);
});
afterAll(() => database.drop());
beforeEach(() => sql`truncate events, checkpoints`.execute(database.db));
afterEach(() => Promise.all(followers.splice(0).map((follower) => follower.stop())));

const seal = () => sealBatch(store, key, true);
const end = (task: string) =>
  transact(store, (tx, afterCommit) => append(store, tx, afterCommit, { kind: 'task.ended', ids: { task } }));
const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 10_000, interval: 5 });

async function follow(options: { readonly isDeaf?: boolean; readonly log?: Store['log'] } = {}) {
  const seen: FollowedEvent[] = [];
  const resyncs: number[] = [];
  const ephemeral = options.isDeaf ? { ...store.ephemeral, subscribe: async () => () => {} } : store.ephemeral;
  const follower = createLogFollower({ ...store, ephemeral }, options.log ?? store.log);
  followers.push(follower);
  follower.onEvents((events) => seen.push(...events));
  follower.onResync((from) => resyncs.push(from));
  await follower.start();
  return { follower, seen, resyncs, tasks: () => seen.map((event) => event.ids.task) };
}

/** Begins a transaction that has inserted its event and stays open; gives back how to commit it. */
async function openTransaction(task: string): Promise<() => Promise<void>> {
  const inserted = Promise.withResolvers<void>();
  const commit = Promise.withResolvers<void>();
  const done = transact(store, async (tx, afterCommit) => {
    await append(store, tx, afterCommit, { kind: 'task.ended', ids: { task } });
    inserted.resolve();
    await commit.promise;
  });
  await inserted.promise;
  return () => {
    commit.resolve();
    return done;
  };
}

test('a revocation that commits late is not lost, though its sequence number was taken first; by `id` it is', async () => {
  const { tasks } = await follow();
  // How one would read a stream of revocations by its sequence.
  let lastId = 0;
  const byId: unknown[] = [];
  const readById = async () => {
    const rows = await store.db
      .selectFrom('events')
      .select(['id', 'body'])
      .where('id', '>', lastId)
      .orderBy('id')
      .execute();
    for (const row of rows) byId.push((JSON.parse(row.body) as { ids: { task: string } }).ids.task);
    lastId = rows.at(-1)?.id ?? lastId;
  };
  const commitFirst = await openTransaction('first to insert');
  await end('first to commit');
  await seal();
  await readById();
  await until(() => tasks().length === 1);
  await commitFirst();
  await seal();
  await store.ephemeral.publish(CHANNELS.outbox, '');
  await until(() => tasks().length === 2);
  await readById();
  expect(tasks()).toEqual(['first to commit', 'first to insert']);
  expect(byId, 'the counter-proof: the sequence has lost it for ever').toEqual(['first to commit']);
});

test('every event once, in order, with several writers and sealers at work', async () => {
  const { seen } = await follow();
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let index = 0; index < 25; index += 1) {
      await end(`${writer}-${index}`);
      if (index % 5 === 0) await seal();
    }
  });
  await Promise.all(writers);
  await seal();
  await until(() => seen.length >= 200);
  expect(seen.map((event) => event.position)).toEqual(Array.from({ length: 200 }, (_, index) => index));
  expect(new Set(seen.map((event) => event.ids.task)).size).toBe(200);
});

test('a missed wake-up is caught up by reading', async () => {
  const { tasks } = await follow({ isDeaf: true });
  await end('unannounced');
  await seal();
  const startedAt = performance.now();
  await until(() => tasks().length === 1);
  expect(performance.now() - startedAt).toBeLessThan(FOLLOW_POLL_MS * 6);
});

test('what was sealed is there when catching up has ended, in bounded batches', async () => {
  const { follower } = await follow({ isDeaf: true });
  const batches: number[] = [];
  follower.onEvents((events) => batches.push(events.length));
  await transact(store, async (tx, afterCommit) => {
    for (let index = 0; index < FOLLOW_EVENTS_MAX + 50; index += 1) {
      await append(store, tx, afterCommit, { kind: 'task.ended', ids: { task: String(index) } });
    }
  });
  await seal();
  await seal();
  await follower.catchUp();
  expect(batches.reduce((sum, size) => sum + size, 0)).toBe(FOLLOW_EVENTS_MAX + 50);
  expect(Math.max(...batches)).toBeLessThanOrEqual(FOLLOW_EVENTS_MAX);
  expect(follower.head().position).toBe(FOLLOW_EVENTS_MAX + 50);
});

test('a listener that throws stops neither the others nor itself', async () => {
  const errors: unknown[] = [];
  const { follower, tasks } = await follow({ log: { ...store.log, error: (fields) => errors.push(fields) } });
  const heard: unknown[] = [];
  follower.onEvents((events) => {
    heard.push(events[0]!.ids.task);
    throw new Error('a bug in a listener');
  });
  for (const task of ['one', 'two']) {
    await end(task);
    await seal();
    await follower.catchUp();
  }
  expect(heard).toEqual(['one', 'two']);
  expect(tasks()).toEqual(['one', 'two']);
  expect(errors).toHaveLength(2);
});

test.each([
  ['a new epoch', () => sql`update settings set value = to_jsonb(gen_random_uuid()::text) where name = 'log_epoch'`],
  [
    'a smaller head',
    () => sql`with gone as (delete from events where position >= 1) delete from checkpoints where size > 1`,
  ],
])('%s is told as a resync, and the log is read anew', async (_what, change) => {
  for (const task of ['one', 'two', 'three']) {
    await end(task);
    await seal();
  }
  const { follower, seen, resyncs } = await follow();
  expect(seen).toHaveLength(3);
  seen.length = 0;
  await change().execute(store.db);
  await follower.catchUp();
  expect(resyncs).toEqual([0, 0]);
  expect(seen.length).toBe(follower.head().position);
});

test('a restored log is told as a resync also when it has grown past what was read before', async () => {
  await end('kept');
  await seal();
  await end('lost');
  await seal();
  const { follower, tasks, resyncs } = await follow({ isDeaf: true });
  const { position, root } = follower.head();
  await follower.stop();
  await sql`delete from events where position >= 1`.execute(store.db);
  await sql`delete from checkpoints where size > 1`.execute(store.db);
  for (const task of ['other', 'and another']) {
    await end(task);
    await seal();
  }
  await follower.catchUp();
  expect(follower.head().position).toBeGreaterThan(position);
  expect(resyncs).toHaveLength(2);
  expect(tasks().slice(-3)).toEqual(['kept', 'other', 'and another']);
  expect(await follower.hadRoot(position, root), 'by its root a guard is told from the new log').toBe(false);
  expect(await follower.hadRoot(follower.head().position, follower.head().root)).toBe(true);
});

test('says when its head cannot be relied on: nobody seals, or the log cannot be read', async () => {
  const clock = vi.spyOn(performance, 'now');
  const { follower } = await follow({ isDeaf: true });
  await follower.stop();
  expect(follower.problem()).toBeNull();
  await end('waits for its position');
  await follower.catchUp();
  expect(follower.problem()).toBeNull();
  const started = performance.now();
  clock.mockReturnValue(started + 6_000);
  await follower.catchUp();
  expect(follower.problem()).toContain('have not been sealed');
  await seal();
  await follower.catchUp();
  expect(follower.problem()).toBeNull();
  clock.mockReturnValue(started + 12_000);
  expect(follower.problem()).toContain('could not be read');
  clock.mockRestore();
});
