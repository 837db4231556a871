import { generateKeyPairSync } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { signCheckpoint } from '../../src/events/checkpoint.ts';
import type { CheckpointKey } from '../../src/events/checkpoint_key.ts';
import { appendLeaf, type Frontier, leafHash, rootOf } from '../../src/events/merkle.ts';
import { verifierKeyText } from '../../src/events/signed_note.ts';
import { verifyLog } from '../../src/events/verify.ts';
import { sha256Base64url } from '../../src/kernel/digest.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';
import { exportedLines, sealedLog, verifyStored } from './sealed_log.ts';

let database: TestDatabase;
let store: Store;
let key: CheckpointKey;
let trusted: string;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  key = await sealedLog(store, [3, 4, 5]);
  const newest = await store.db
    .selectFrom('checkpoints')
    .select('note')
    .where('size', '=', 12)
    .executeTakeFirstOrThrow();
  trusted = newest.note;
});

const problemOf = async (trustedCheckpoint?: string) => {
  const verdict = await verifyStored(store, key, trustedCheckpoint);
  return verdict.ok ? 'none' : verdict.refusal;
};
const run = (statement: ReturnType<typeof sql>) => statement.execute(database.db);

/** Edits the body at a position with its digest, as whoever can write to the database would. */
async function rewrite(position: number): Promise<void> {
  const row = await store.db
    .selectFrom('events')
    .select('body')
    .where('position', '=', position)
    .executeTakeFirstOrThrow();
  const body = row.body.replace(/"person":"..../, '"person":"XXXX');
  await store.db
    .updateTable('events')
    .set({ body, body_digest: sha256Base64url(body) })
    .where('position', '=', position)
    .execute();
}

describe('T63: verifying the log', () => {
  it('finds a whole log sound, with and without a trusted checkpoint of any size', async () => {
    const verdict = await verifyStored(store, key);
    expect(verdict).toMatchObject({
      ok: true,
      value: { size: 12, checkpoints: 3, erased: 0, newestCheckpoint: trusted },
    });
    for (const { note } of await store.db.selectFrom('checkpoints').select('note').execute()) {
      expect(await problemOf(note)).toBe('none');
    }
  });

  it('finds an empty log sound', async () => {
    key = await sealedLog(store, []);
    expect(await verifyStored(store, key)).toMatchObject({ ok: true, value: { size: 0, newestCheckpoint: null } });
  });

  it('names the very position of an edited body', async () => {
    await run(sql`update events set body = replace(body, 'person.created', 'person.disabled') where position = 5`);
    expect(await problemOf()).toMatchObject({ position: 5, problem: expect.stringContaining('the event was changed') });
  });

  it('names the positions between two checkpoints when the digest was edited too', async () => {
    await rewrite(5);
    expect(await problemOf()).toMatchObject({ position: 3, problem: expect.stringContaining('Positions 3 to 6') });
  });

  it('finds a deleted row: first, in the middle, or last before a checkpoint', async () => {
    for (const position of [11, 6, 4, 0]) {
      await run(sql`delete from events where position = ${position}`);
      expect(await problemOf()).toMatchObject({ position, problem: expect.stringContaining('missing') });
    }
  });

  it('finds a deleted row whose gap was closed', async () => {
    await run(sql`delete from events where position = 4`);
    for (let position = 5; position < 12; position += 1) {
      await run(sql`update events set position = ${position - 1} where position = ${position}`);
    }
    expect(await problemOf()).toMatchObject({ position: 3, problem: expect.stringContaining('Positions 3 to 6') });
  });

  it('finds two rows that changed places', async () => {
    await run(sql`update events set position = 100 where position = 8`);
    await run(sql`update events set position = 8 where position = 9`);
    await run(sql`update events set position = 9 where position = 100`);
    expect(await problemOf()).toMatchObject({ position: 7, problem: expect.stringContaining('Positions 7 to 11') });
  });

  it('finds an inserted row', async () => {
    await run(sql`update events set position = 1000 + position where position >= 6`);
    await run(sql`update events set position = position - 999 where position >= 1000`);
    await run(sql`insert into events (position, kind, body, body_digest, mac)
      select 6, kind, body, body_digest, mac from events where position = 5`);
    expect(await problemOf()).toMatchObject({ position: 3 });
  });

  it('finds edited names or texts, and accepts that they were erased', async () => {
    await run(sql`update events set personal = jsonb_set(personal, '{json}', '"{\\"display_name\\":\\"Eve\\"}"')
      where position = 7`);
    expect(await problemOf()).toMatchObject({ position: 7, problem: expect.stringContaining('committed to') });
    await run(sql`update events set personal = null where position = 7`);
    expect(await verifyStored(store, key)).toMatchObject({ ok: true, value: { erased: 1 } });
  });

  it('finds names or texts that were added where there were none', async () => {
    const { rows } = await sql<{ body: string }>`select body from events where position = 7`.execute(database.db);
    const body = rows[0]!.body.replace(/"commitment":"[^"]+"/, '"commitment":null');
    await run(sql`update events set body = ${body}, body_digest = ${sha256Base64url(body)} where position = 7`);
    expect(await problemOf()).toMatchObject({ position: 7, problem: expect.stringContaining('committed to') });
  });

  it('finds a truncated tail against a trusted checkpoint, and only against one', async () => {
    await run(sql`delete from events where position >= 7`);
    await run(sql`delete from checkpoints where size > 7`);
    expect(await problemOf()).toBe('none');
    expect(await problemOf(trusted)).toMatchObject({
      position: 7,
      problem: expect.stringContaining('the last 5 are missing'),
    });
  });

  it('finds a log that was rewritten and signed anew, with the stolen key, against a trusted checkpoint', async () => {
    await rewrite(5);
    const events = await store.db.selectFrom('events').select('body').orderBy('position').execute();
    let frontier: Frontier = [];
    for (const [index, { body }] of events.entries()) {
      frontier = appendLeaf(frontier, index, leafHash(body));
      const note = signCheckpoint(key, { size: index + 1, root: rootOf(frontier) });
      await store.db
        .updateTable('checkpoints')
        .set({ note })
        .where('size', '=', index + 1)
        .execute();
    }
    expect(await problemOf()).toBe('none');
    expect(await problemOf(trusted)).toMatchObject({ problem: expect.stringContaining('signed anew') });
  });

  it('finds a checkpoint that another key signed, or that was taken away', async () => {
    const thief = { name: store.issuer, privateKey: generateKeyPairSync('ed25519').privateKey };
    const note = signCheckpoint(thief, { size: 7, root: Buffer.alloc(32) });
    await store.db.updateTable('checkpoints').set({ note }).where('size', '=', 7).execute();
    expect(await problemOf()).toMatchObject({ position: 3, problem: expect.stringContaining('cannot be trusted') });
    await run(sql`delete from checkpoints where size = 7`);
    expect(await problemOf()).toBe('none');
    const lines = (await exportedLines(store)).slice(0, -1);
    const verdict = await verifyLog(lines, { verifierKey: key.verifierKey });
    expect(verdict).toMatchObject({
      ok: false,
      refusal: { position: 3, problem: expect.stringContaining('not signed') },
    });
  });
});

describe('an export as a file', () => {
  const verify = async (lines: readonly string[], verifierKey = key.verifierKey) => {
    const verdict = await verifyLog(lines, { verifierKey });
    return verdict.ok ? 'sound' : verdict.refusal.problem;
  };

  it('is refused when it was cut off, at every line', async () => {
    const lines = await exportedLines(store);
    expect(await verify(lines)).toBe('sound');
    for (let count = 0; count < lines.length; count += 1) {
      expect(await verify(lines.slice(0, count)), `${count} lines`).not.toBe('sound');
    }
  });

  it('is refused with lines that are doubled, moved, malformed or say more than they should', async () => {
    const lines = await exportedLines(store);
    const event = JSON.parse(lines[1]!) as object;
    const changed = [
      [lines[0]!, ...lines],
      [...lines, lines.at(-1)!],
      lines.with(1, lines[2]!).with(2, lines[1]!),
      lines.with(1, JSON.stringify({ ...event, note: 'approved by the chief' })),
      lines.with(1, lines[1]!.replace('{', '{"position":0,')),
      lines.with(1, 'null'),
      lines.with(1, '{'),
      lines.with(0, lines[0]!.replace('countersign-log/1', 'countersign-log/2')),
    ];
    for (const [index, one] of changed.entries()) expect(await verify(one), `change ${index}`).not.toBe('sound');
  });

  it('is refused with the key of another log, or with something that is no key', async () => {
    const lines = await exportedLines(store);
    const privateKey = generateKeyPairSync('ed25519').privateKey;
    const sameName = verifierKeyText({ name: store.issuer, privateKey });
    const otherName = verifierKeyText({ name: 'https://other.example', privateKey });
    expect(await verify(lines, sameName)).toContain('not signed by the key');
    expect(await verify(lines, otherName)).toContain('the key is of https://other.example');
    expect(await verify(lines, 'nonsense')).toContain('The key cannot be used');
  });

  it('is read page by page as the whole it is', async () => {
    key = await sealedLog(store, [600, 600, 1]);
    expect(await verifyStored(store, key)).toMatchObject({ ok: true, value: { size: 1201, checkpoints: 3 } });
  });
});
