import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { signCheckpoint } from '../../src/events/checkpoint.ts';
import { type CheckpointKey, loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import { revokeCheckpointKey, rotateCheckpointKey } from '../../src/events/rotate_checkpoint_key.ts';
import { sealBatch } from '../../src/events/seal.ts';
import { startSealer } from '../../src/events/sealer.ts';
import { verifyLog } from '../../src/events/verify.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';
import { appendOne, exportedLines, sealedLog } from './sealed_log.ts';

let database: TestDatabase;
let store: Store;
let old: CheckpointKey;
beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await sql`delete from keys`.execute(database.db);
  old = await sealedLog(store, [2, 3]);
});

const sealOne = async () => {
  await appendOne(store);
  // Whoever seals may still hold the key of before.
  await sealBatch(store, old, true);
};
const verify = async (...verifierKey: string[]) => verifyLog(await exportedLines(store), { verifierKey });
const sound = { ok: true, value: { size: 9 } };

describe('a rotation of the key of checkpoints', () => {
  test('keeps the log verifiable with the key of before alone, the new one alone, and both', async () => {
    await appendOne(store);
    const next = await rotateCheckpointKey(store);
    expect((await loadCheckpointKey(store)).kid).toBe(next.kid);
    // 2 + 3 + 1, and the two events of the rotation; then one more.
    await sealOne();
    expect(await verify(old.verifierKey)).toMatchObject({ ...sound, value: { announcedKeys: [next.verifierKey] } });
    expect(await verify(next.verifierKey)).toMatchObject(sound);
    expect(await verify(old.verifierKey, next.verifierKey)).toMatchObject({ ...sound, value: { announcedKeys: [] } });
    const another = await rotateCheckpointKey(store);
    await sealOne();
    expect(await verify(old.verifierKey)).toMatchObject({
      value: { announcedKeys: [next.verifierKey, another.verifierKey] },
    });
    expect(await verify(another.verifierKey)).toMatchObject({ ok: true });
    const rows = await database.db
      .selectFrom('keys')
      .select(['state', 'private_sealed'])
      .orderBy('created_at')
      .execute();
    expect(rows.map((row) => [row.state, row.private_sealed.length > 0])).toEqual([
      ['retired', false],
      ['retired', false],
      ['active', true],
    ]);
  });

  test('an announcement counts once a checkpoint of a known key covers it, not before', async () => {
    const next = await rotateCheckpointKey(store);
    await sealOne();
    // The checkpoint that both signed is gone: nothing that the old key signed covers the announcement.
    await sql`delete from checkpoints where size = 7`.execute(database.db);
    expect(await verify(old.verifierKey)).toMatchObject({ ok: false, refusal: { position: 5 } });
    expect(await verify(next.verifierKey)).toMatchObject({ ok: true });
  });

  test('a key that somebody else announces, or that was never announced, signs nothing', async () => {
    await rotateCheckpointKey(store);
    await sealOne();
    const thief = await keyOfAnotherLog();
    const { root } = (await database.db
      .selectFrom('checkpoints')
      .select('root')
      .where('size', '=', 8)
      .executeTakeFirst())!;
    const note = signCheckpoint(thief, { size: 8, root: Buffer.from(root, 'base64') });
    await database.db.updateTable('checkpoints').set({ note }).where('size', '=', 8).execute();
    expect(await verify(old.verifierKey)).toMatchObject({ ok: false, refusal: { position: 7 } });
  });

  test('sealers of all processes go on with the new key, while events come', async () => {
    const sealers = [1, 2].map(() => startSealer(store, { checkpointKey: old, log: store.log }));
    const writing = Promise.all(Array.from({ length: 60 }, () => appendOne(store)));
    const keys: CheckpointKey[] = [];
    for (let count = 0; count < 4; count += 1) keys.push(await rotateCheckpointKey(store));
    await writing;
    await sealers[0]!.sealNow();
    await Promise.all(sealers.map((sealer) => sealer.stop()));
    for (const key of [old, ...keys]) {
      expect(await verify(key.verifierKey)).toMatchObject({ ok: true, value: { size: 5 + 60 + 8 } });
    }
  });
});

describe('a key of checkpoints that leaked', () => {
  test('announces nothing: who verifies needs the new key by another way, and the new one alone verifies all', async () => {
    await appendOne(store);
    const next = await revokeCheckpointKey(store);
    await sealOne();
    expect(await verify(old.verifierKey)).toMatchObject({
      ok: false,
      refusal: { position: 5, problem: expect.stringContaining('ask the operator for the new one') },
    });
    expect(await verify(next.verifierKey)).toMatchObject(sound);
    expect(await verify(old.verifierKey, next.verifierKey)).toMatchObject(sound);
  });

  test('what it signs afterwards is not believed by those who know both', async () => {
    const next = await revokeCheckpointKey(store);
    await sealOne();
    await sealOne();
    const row = (await database.db.selectFrom('checkpoints').selectAll().orderBy('size', 'desc').executeTakeFirst())!;
    const note = signCheckpoint(old, { size: row.size, root: Buffer.from(row.root, 'base64') });
    await database.db.updateTable('checkpoints').set({ note }).where('size', '=', row.size).execute();
    expect(await verify(old.verifierKey, next.verifierKey)).toMatchObject({ ok: false });
    await expect(sealOne()).rejects.toThrow('cannot be built upon');
  });
});

/** A key of the same name that no log announces. */
async function keyOfAnotherLog(): Promise<CheckpointKey> {
  const other = await createTestDatabase();
  try {
    return await loadCheckpointKey(createTestStore(other));
  } finally {
    await other.drop();
  }
}
