import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { append } from '../../src/events/append.ts';
import { type CheckpointKey, loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import { sealBatch } from '../../src/events/seal.ts';
import { startSealer } from '../../src/events/sealer.ts';
import { onSealerBell } from '../../src/events/sealer_bell.ts';
import { createVault } from '../../src/kernel/vault.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { CHANNELS } from '../../src/store/wake.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';
import { appendOne, sealedMarks, verifyStored } from './sealed_log.ts';

let database: TestDatabase;
let store: Store;
let key: CheckpointKey;

beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 40 });
  store = createTestStore(database);
  key = await loadCheckpointKey(store);
});
afterAll(() => database.drop());
beforeEach(() => sql`truncate events, checkpoints`.execute(database.db));

const seal = () => sealBatch(store, key, true);
const until = async (condition: () => Promise<boolean>) => {
  const deadline = performance.now() + 5_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('It did not happen within 5 s.');
    await sleep(3);
  }
};

describe('append', () => {
  it('commits or rolls back with the change it records', async () => {
    const failing = transact(store, async (tx, afterCommit) => {
      await append(store, tx, afterCommit, { kind: 'person.created', ids: { person: 'lost' } });
      throw new Error('the change failed');
    });
    await expect(failing).rejects.toThrow('the change failed');
    expect(await store.db.selectFrom('events').select('id').execute()).toEqual([]);
  });

  it('keeps names out of what is signed, and salts what it commits to', async () => {
    await appendOne(store, 'same');
    await appendOne(store, 'same');
    const rows = await store.db.selectFrom('events').select(['body', 'personal']).orderBy('id').execute();
    const commitments = rows.map((row) => (JSON.parse(row.body) as { commitment: string }).commitment);
    expect(rows[0]!.body).not.toContain('Ada');
    expect(JSON.stringify(rows[0]!.personal)).toContain('Ada same');
    expect(commitments[0]).not.toBe(commitments[1]);
  });

  it('takes text that jsonb would refuse', async () => {
    const personal = { reason: 'a\u0000b \u202e "quoted" \\ \ud83d\ude00' };
    await transact(store, (tx, afterCommit) =>
      append(store, tx, afterCommit, { kind: 'decision.made', ids: {}, personal }),
    );
    await seal();
    expect(await verifyStored(store, key)).toMatchObject({ ok: true, value: { size: 1 } });
  });

  it('wakes the sealer after the commit, not before', async () => {
    const seen: number[] = [];
    const unsubscribe = onSealerBell(store, async () => {
      const rows = await store.db.selectFrom('events').select('id').execute();
      seen.push(rows.length);
    });
    await transact(store, async (tx, afterCommit) => {
      await append(store, tx, afterCommit, { kind: 'key.made', ids: {} });
      await sleep(20);
    });
    await until(async () => seen.length > 0);
    unsubscribe();
    expect(seen).toEqual([1]);
  });
});

describe('sealing', () => {
  it('gives a transaction that commits later a later position, although it inserted first', async () => {
    let commitFirst: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      commitFirst = resolve;
    });
    let inserted: () => void = () => {};
    const hasInserted = new Promise<void>((resolve) => {
      inserted = resolve;
    });
    const first = transact(store, async (tx, afterCommit) => {
      await append(store, tx, afterCommit, { kind: 'person.created', ids: { person: 'first-to-insert' } });
      inserted();
      await held;
    });
    await hasInserted;
    await appendOne(store, 'first-to-commit');
    expect(await seal()).toBe(1);
    expect(await sealedMarks(store)).toEqual({ positions: [0], marks: ['first-to-commit'] });
    commitFirst();
    await first;
    expect(await seal()).toBe(1);
    expect(await sealedMarks(store)).toEqual({ positions: [0, 1], marks: ['first-to-commit', 'first-to-insert'] });
    const ids = await store.db.selectFrom('events').select('id').orderBy('position').execute();
    expect(ids[0]!.id).toBeGreaterThan(ids[1]!.id);
    expect(await verifyStored(store, key)).toMatchObject({ ok: true, value: { size: 2, checkpoints: 2 } });
  });

  it('loses and doubles nothing with 20 parallel writers, some of whom roll back, and three sealers', async () => {
    const sealers = [1, 2, 3].map(() => startSealer(store, { checkpointKey: key, log: store.log }));
    const kept: string[] = [];
    await Promise.all(
      Array.from({ length: 20 }, async (_, writer) => {
        for (let round = 0; round < 10; round += 1) {
          const mark = `${writer}-${round}`;
          const work = transact(store, async (tx, afterCommit) => {
            await append(store, tx, afterCommit, { kind: 'person.created', ids: { person: mark } });
            await sleep(Math.random() * 8);
            if ((writer + round) % 5 === 0) throw new Error('rolled back');
          });
          await work.then(
            () => kept.push(mark),
            () => {},
          );
        }
      }),
    );
    await sealers[0]!.sealNow();
    await Promise.all(sealers.map((sealer) => sealer.stop()));
    const { positions, marks } = await sealedMarks(store);
    expect(positions).toEqual(Array.from({ length: 160 }, (_, index) => index));
    expect(marks.toSorted()).toEqual(kept.toSorted());
    expect(await verifyStored(store, key)).toMatchObject({ ok: true, value: { size: 160 } });
  });

  it('leaves no trace when it is killed half way, and is whole the next time', async () => {
    for (let index = 0; index < 5; index += 1) await appendOne(store);
    await seal();
    for (let index = 0; index < 5; index += 1) await appendOne(store);
    const before = await sealedMarks(store);
    await database.db.transaction().execute(async (tx) => {
      // The positions are written, the checkpoint waits behind this lock, and then the connection is cut.
      await sql`lock table checkpoints in share mode`.execute(tx);
      const sealing = seal();
      const died = expect(sealing).rejects.toThrow();
      const waiting = sql<{ pid: number }>`select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like 'insert into "checkpoints"%'`;
      await until(async () => (await waiting.execute(database.db)).rows.length === 1);
      const { rows } = await waiting.execute(database.db);
      await sql`select pg_terminate_backend(${rows[0]!.pid})`.execute(database.db);
      await died;
    });
    expect(await sealedMarks(store)).toEqual(before);
    expect(await seal()).toBe(5);
    const { positions } = await sealedMarks(store);
    expect(positions).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await verifyStored(store, key)).toMatchObject({ ok: true, value: { size: 10, checkpoints: 2 } });
  });

  it('lets one work at a time: an impatient second one steps back', async () => {
    await appendOne(store);
    await database.db.transaction().execute(async (tx) => {
      await sql`select pg_advisory_xact_lock(7310003)`.execute(tx);
      expect(await sealBatch(store, key, false)).toBe('busy');
    });
    expect(await sealBatch(store, key, false)).toBe(1);
  });

  it('does not sign an event that was changed before it was sealed, or written by another hand', async () => {
    await appendOne(store);
    const original = await store.db.selectFrom('events').select('body').executeTakeFirstOrThrow();
    const set = (body: string) => store.db.updateTable('events').set({ body }).execute();
    await set(original.body.replace('person.created', 'grant.made'));
    await expect(seal()).rejects.toThrow('was changed or written by another hand');
    await set(original.body);
    expect(await seal()).toBe(1);
    const otherServer = { ...store, vault: createVault(Buffer.alloc(32, 9)) };
    await appendOne(otherServer);
    await expect(seal()).rejects.toThrow('was changed or written by another hand');
    expect(await sealedMarks(store)).toMatchObject({ positions: [0] });
  });

  it('does not build upon a checkpoint whose row was changed', async () => {
    await appendOne(store);
    await seal();
    await appendOne(store);
    const frontier = JSON.stringify([Buffer.alloc(32, 1).toString('base64')]);
    await store.db.updateTable('checkpoints').set({ frontier }).execute();
    await expect(seal()).rejects.toThrow('cannot be built upon');
  });
});

describe('the sealer', () => {
  it('seals what commits, woken or not, and tells the readers of the log', async () => {
    let wakes = 0;
    await store.ephemeral.subscribe(CHANNELS.outbox, () => {
      wakes += 1;
    });
    const sealer = startSealer(store, { checkpointKey: key, log: store.log });
    await appendOne(store);
    await until(async () => (await sealedMarks(store)).positions.length === 1);
    await until(async () => wakes > 0);
    const deaf = { ...store, ephemeral: { ...store.ephemeral, publish: async () => {} } };
    const startedAt = performance.now();
    await appendOne(deaf);
    await until(async () => (await sealedMarks(store)).positions.length === 2);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await sealer.stop();
    await appendOne(store);
    await sleep(150);
    expect((await sealedMarks(store)).positions).toHaveLength(2);
  });

  it('goes on after an outage, and says that there was one', async () => {
    const errors: object[] = [];
    const log = { ...store.log, error: (fields: object) => void errors.push(fields) };
    await appendOne({ ...store, vault: createVault(Buffer.alloc(32, 9)) });
    const sealer = startSealer(store, { checkpointKey: key, log });
    await until(async () => errors.length > 0);
    await sql`truncate events`.execute(database.db);
    await appendOne(store);
    await until(async () => (await sealedMarks(store)).positions.length === 1);
    await sealer.stop();
  });

  it('seals on call everything that had committed, also many batches', async () => {
    const sealer = startSealer(store, { checkpointKey: key, log: store.log });
    await transact(store, async (tx, afterCommit) => {
      for (let index = 0; index < 1_050; index += 1) {
        await append(store, tx, afterCommit, { kind: 'key.made', ids: { index } });
      }
    });
    await sealer.sealNow();
    const left = await store.db.selectFrom('events').select('id').where('position', 'is', null).execute();
    expect(left).toEqual([]);
    await sealer.stop();
  });
});

describe('the checkpoint key', () => {
  it('is made once by processes that start at once, kept sealed, and found again', async () => {
    const own = await createTestDatabase();
    try {
      const fresh = createTestStore(own);
      const keys = await Promise.all(Array.from({ length: 10 }, () => loadCheckpointKey(fresh)));
      expect(new Set(keys.map((one) => one.verifierKey)).size).toBe(1);
      const row = await fresh.db.selectFrom('keys').selectAll().executeTakeFirstOrThrow();
      expect(row.private_sealed.toString('latin1')).not.toContain(
        keys[0]!.privateKey.export({ format: 'der', type: 'pkcs8' }).toString('latin1'),
      );
      const events = await fresh.db.selectFrom('events').select('kind').execute();
      expect(events).toEqual([{ kind: 'key.made' }]);
    } finally {
      await own.drop();
    }
  });
});
