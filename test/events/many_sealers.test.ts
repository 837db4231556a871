import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { type CheckpointKey, loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import { SEAL_INTERVAL_MS_MIN, SEAL_WAIT_MS_MAX } from '../../src/events/limits.ts';
import { type Sealer, startSealer } from '../../src/events/sealer.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { createMemoryEphemeralStore } from '../../src/store/memory/ephemeral.ts';
import { type Database, openDatabase } from '../../src/store/postgres/open.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';
import { appendOne, sealedMarks, verifyStored } from './sealed_log.ts';

/** One process as the sealer sees it: its own pool and its own handle on the store that all share. */
interface Node {
  readonly store: Store;
  readonly pool: Database<Tables>;
  readonly sealer: Sealer;
}

let database: TestDatabase;
let key: CheckpointKey;
beforeAll(async () => {
  database = await createTestDatabase();
  key = await loadCheckpointKey(createTestStore(database));
});
afterAll(() => database.drop());
beforeEach(() => sql`truncate events, checkpoints`.execute(database.db));

async function withNodes(count: number, work: (nodes: readonly Node[]) => Promise<void>): Promise<void> {
  const shared = createMemoryEphemeralStore();
  const nodes = Array.from({ length: count }, (_, index): Node => {
    const { connection } = database;
    const pool = openDatabase<Tables>({ connection, poolMax: 6, log: silentLogger, applicationName: `node-${index}` });
    const store = createTestStore(pool, { ephemeral: { ...shared } });
    return { store, pool, sealer: startSealer(store, { checkpointKey: key, log: silentLogger }) };
  });
  try {
    await work(nodes);
  } finally {
    for (const { sealer } of nodes) await sealer.stop();
    for (const { pool } of nodes) await pool.close();
  }
}

const countSealed = async () => (await sealedMarks(createTestStore(database))).positions.length;
const untilSealed = (count: number) =>
  vi.waitUntil(async () => (await countSealed()) === count, { timeout: 20_000, interval: 20 });

async function expectOneChain(marks: readonly string[]): Promise<number> {
  const store = createTestStore(database);
  const sealed = await sealedMarks(store);
  expect(sealed.positions).toEqual(marks.map((_, index) => index));
  expect([...sealed.marks].sort()).toEqual([...marks].sort());
  const verified = await verifyStored(store, key);
  expect(verified).toMatchObject({ ok: true, value: { size: marks.length } });
  return verified.ok ? verified.value.checkpoints : 0;
}

test('four nodes under load: dense positions, one chain, and no more checkpoints than one node makes', async () => {
  await withNodes(4, async (nodes) => {
    const startedAt = performance.now();
    const writers = nodes.flatMap(({ store }) =>
      Array.from({ length: 3 }, async () => {
        const marks: string[] = [];
        for (let index = 0; index < 40; index += 1) marks.push(await appendOne(store));
        return marks;
      }),
    );
    const marks = (await Promise.all(writers)).flat();
    await untilSealed(marks.length);
    const checkpoints = await expectOneChain(marks);
    // Two nodes may meet within one interval, not all four always.
    expect(checkpoints).toBeLessThan(2 * ((performance.now() - startedAt) / SEAL_INTERVAL_MS_MIN) + 4);
  });
});

test('connections that die in the middle of sealing cost nothing but time', async () => {
  await withNodes(3, async (nodes) => {
    let isWriting = true;
    let killed = 0;
    const killing = (async () => {
      while (isWriting) {
        // Whoever holds the lock of the sealer is in the middle of it.
        const { rows } = await sql<{ killed: boolean }>`
          select pg_terminate_backend(pid) as killed from pg_locks
          where locktype = 'advisory' and objid = 7310003 and granted
            and database = (select oid from pg_database where datname = current_database())`.execute(database.db);
        killed += rows.length;
        await sleep(rows.length > 0 ? 150 : 1);
      }
    })();
    const writers = nodes.map(async ({ store }) => {
      const marks: string[] = [];
      while (killed < 3 && marks.length < 2_000) marks.push(await appendOne(store));
      return marks;
    });
    const marks = (await Promise.all(writers)).flat();
    isWriting = false;
    await killing;
    expect(killed).toBeGreaterThanOrEqual(3);
    await untilSealed(marks.length);
    await expectOneChain(marks);
  });
}, 60_000);

test('what a process committed before it died is sealed by another within its next look', async () => {
  await withNodes(2, async ([, other]) => {
    // A process of its own whose sealer never runs.
    const dead = createTestStore(database);
    const startedAt = performance.now();
    const mark = await appendOne(dead);
    await untilSealed(1);
    expect(performance.now() - startedAt).toBeLessThan(SEAL_WAIT_MS_MAX * 10);
    await expectOneChain([mark]);
    expect(other).toBeDefined();
  });
});

test('a commit wakes the sealer of its own node alone, and idle nodes look ten times a second each', async () => {
  await withNodes(4, async (nodes) => {
    const asked = nodes.map(({ pool }) => vi.spyOn(pool.pool, 'connect'));
    const startedAt = performance.now();
    await sleep(1_500);
    const seconds = (performance.now() - startedAt) / 1000;
    for (const { mock } of asked) {
      expect(mock.calls.length).toBeGreaterThan(0);
      expect(mock.calls.length).toBeLessThanOrEqual((seconds * 1000) / SEAL_WAIT_MS_MAX + 2);
    }
    const published = nodes.map(({ store }) => vi.spyOn(store.ephemeral, 'publish'));
    await appendOne(nodes[0]!.store);
    await untilSealed(1);
    await sleep(SEAL_INTERVAL_MS_MIN);
    // One message, by whoever sealed, and none with the commit itself.
    expect(published.flatMap(({ mock }) => mock.calls).map(([channel]) => channel)).toEqual(['wake:outbox']);
  });
});
