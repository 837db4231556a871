import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CheckpointKey } from '../../src/events/checkpoint_key.ts';
import { type Exported, exportLog } from '../../src/events/export.ts';
import { pruneEvents, thinCheckpoints } from '../../src/events/prune.ts';
import { markExported } from '../../src/events/retention.ts';
import { sealBatch } from '../../src/events/seal.ts';
import { verifyLog, verifyLogs } from '../../src/events/verify.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';
import { appendOne, sealedLog } from './sealed_log.ts';

let database: TestDatabase;
let store: Store;
let key: CheckpointKey;
const verifierKey = () => ({ verifierKey: key.verifierKey });

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
});
afterAll(() => database.drop());

async function exported(since = 0): Promise<{ lines: string[]; extent: Exported }> {
  const lines: string[] = [];
  const export_ = exportLog(store, since);
  for (;;) {
    const { done, value } = await export_.next();
    if (done) return { lines, extent: value };
    lines.push(value);
  }
}

async function age(size: number, days: number): Promise<void> {
  await sql`update checkpoints set at = clock_timestamp() - make_interval(days => ${days}) where size = ${size}`.execute(
    store.db,
  );
}

async function positions(): Promise<number[]> {
  const rows = await store.db.selectFrom('events').select('position').orderBy('position').execute();
  return rows.filter((row) => row.position !== null).map((row) => row.position!);
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

describe('events past their retention', () => {
  let whole: string[];
  let rest: string[];

  beforeAll(async () => {
    key = await sealedLog(store, [5, 6, 7, 4]);
    whole = (await exported()).lines;
    await age(5, 40);
    await age(11, 31);
    await age(18, 29);
  });

  test('stay until they were exported', async () => {
    expect(await pruneEvents(store, 30)).toBe(0);
    expect(await markExported(store.db, 0, 10)).toBe(true);
    expect(await pruneEvents(store, 30)).toBe(5);
    expect(await positions()).toEqual(range(5, 22));
    // An export that left out what nobody exported counts for nothing.
    expect(await markExported(store.db, 12, 22)).toBe(false);
    expect(await pruneEvents(store, 30)).toBe(0);
  });

  test('go up to the last checkpoint that is old enough, which stays', async () => {
    expect(await markExported(store.db, 0, 22)).toBe(true);
    expect(await pruneEvents(store, 30)).toBe(6);
    expect(await positions()).toEqual(range(11, 22));
    const kept = await store.db.selectFrom('checkpoints').select('size').orderBy('size').execute();
    expect(kept.map((row) => row.size)).toEqual([11, 18, 22]);
  });

  test('leave a log that goes on, and verifies from where it starts', async () => {
    await appendOne(store);
    await sealBatch(store, key, true);
    rest = (await exported()).lines;
    expect(JSON.parse(rest[1]!)).toMatchObject({
      start: 11,
      frontier: [expect.any(String), expect.any(String), expect.any(String)],
    });
    expect(await verifyLog(rest, verifierKey())).toMatchObject({ ok: true, value: { from: 11, size: 25 } });
  });

  test('and the export from before them verifies with it as one chain', async () => {
    expect(await verifyLogs([whole, rest], verifierKey())).toMatchObject({ ok: true, value: { from: 0, size: 25 } });
    expect(await verifyLogs([rest, whole], verifierKey())).toMatchObject({
      ok: false,
      refusal: { problem: expect.stringContaining('name the oldest first') },
    });
  });

  test('a gap between two exports is found', async () => {
    const cut = whole.slice(0, whole.findIndex((line) => line.startsWith('{"checkpoint"')) + 1);
    cut[0] = JSON.stringify({ ...JSON.parse(cut[0]!), size: 5 });
    expect(await verifyLog(cut, verifierKey())).toMatchObject({ ok: true });
    expect(await verifyLogs([cut, rest], verifierKey())).toMatchObject({
      ok: false,
      refusal: { position: 5, problem: expect.stringContaining('Positions 5 to 10 are missing') },
    });
  });

  test('a checkpoint kept from before what is left needs the older export, and then still shows what was cut off', async () => {
    const notes = (lines: string[]) =>
      lines.filter((line) => line.startsWith('{"checkpoint"')).map((line) => JSON.parse(line).checkpoint as string);
    const [early] = notes(whole);
    const latest = notes(rest).at(-1)!;
    expect(await verifyLog(rest, { ...verifierKey(), trustedCheckpoint: early! })).toMatchObject({
      ok: false,
      refusal: { problem: expect.stringContaining('name the export before it as well') },
    });
    expect(await verifyLogs([whole, rest], { ...verifierKey(), trustedCheckpoint: early! })).toMatchObject({
      ok: true,
    });
    expect(await verifyLogs([whole, rest], { ...verifierKey(), trustedCheckpoint: latest })).toMatchObject({
      ok: true,
    });
    expect(await verifyLog(whole, { ...verifierKey(), trustedCheckpoint: latest })).toMatchObject({
      ok: false,
      refusal: { position: 22, problem: expect.stringContaining('the last 3 are missing') },
    });
  });

  test.each<[string, (start: { start: number; frontier: string[]; checkpoint: string }) => object]>([
    ['another size', (start) => ({ ...start, start: 12 })],
    ['another hash', (start) => ({ ...start, frontier: start.frontier.with(1, Buffer.alloc(32).toString('base64')) })],
    ['a hash too few', (start) => ({ ...start, frontier: start.frontier.slice(0, 2) })],
    ['no signature', (start) => ({ ...start, checkpoint: start.checkpoint.split('\n').slice(0, 4).join('\n') })],
  ])('a start with %s is not believed', async (_, change) => {
    const forged = rest.with(1, JSON.stringify(change(JSON.parse(rest[1]!))));
    expect(await verifyLog(forged, verifierKey())).toMatchObject({
      ok: false,
      refusal: { problem: expect.stringContaining('The start of the export cannot be trusted') },
    });
  });

  test('an export of another log does not go on from this one', async () => {
    const sealed = rest.slice(0, 2);
    await sealedLog(store, [5, 6, 7, 4, 3]);
    await sql`update settings set value = '11' where name = 'log_start'`.execute(store.db);
    const other = (await exported()).lines;
    expect(other[1]).not.toBe(sealed[1]);
    expect(await verifyLogs([whole, other], verifierKey())).toMatchObject({
      ok: false,
      refusal: { problem: expect.stringContaining('a log that was rewritten') },
    });
  });
});

test('an export since a position starts at the checkpoint before it', async () => {
  await sql`delete from settings where name in ('log_start', 'log_exported')`.execute(store.db);
  key = await sealedLog(store, [5, 6, 7]);
  const before = (await exported()).lines;
  const { lines, extent } = await exported(13);
  expect(extent).toEqual({ from: 11, to: 18 });
  expect(await verifyLogs([before, lines], verifierKey())).toMatchObject({ ok: true, value: { from: 0, size: 18 } });
  expect((await exported(18)).extent).toEqual({ from: 18, to: 18 });
  expect(await verifyLog((await exported(18)).lines, verifierKey())).toMatchObject({ ok: true, value: { from: 18 } });
});

test('of old checkpoints one an hour stays, and the log verifies all the same', async () => {
  key = await sealedLog(
    store,
    Array.from({ length: 12 }, () => 2),
  );
  await sql`update checkpoints set at = timestamptz '2026-01-01 10:00Z' + make_interval(mins => (size * 10)::int)`.execute(
    store.db,
  );
  await sql`update checkpoints set at = clock_timestamp() where size >= 20`.execute(store.db);
  expect(await thinCheckpoints(store)).toBe(5);
  const kept = await store.db.selectFrom('checkpoints').select('size').orderBy('size').execute();
  // 10:20 and 10:40, 11:00 to 11:40, 12:00 to 12:40, 13:00: the last of each hour, and today's.
  expect(kept.map((row) => row.size)).toEqual([4, 10, 16, 18, 20, 22, 24]);
  expect(await verifyLog((await exported()).lines, verifierKey())).toMatchObject({ ok: true, value: { size: 24 } });
  expect(await thinCheckpoints(store)).toBe(0);
});
