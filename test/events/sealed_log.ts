import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { append } from '../../src/events/append.ts';
import { type CheckpointKey, loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import type { NewEvent } from '../../src/events/event_body.ts';
import { exportLog } from '../../src/events/export.ts';
import { sealBatch } from '../../src/events/seal.ts';
import { verifyLog } from '../../src/events/verify.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';

/** Appends an event in a transaction of its own; answers the mark by which it is found again. */
export async function appendOne(store: Store, mark: string = randomUUID()): Promise<string> {
  await transact(store, (tx, afterCommit) => append(store, tx, afterCommit, personCreated(mark)));
  return mark;
}

function personCreated(mark: string): NewEvent {
  return { kind: 'person.created', ids: { person: mark }, personal: { display_name: `Ada ${mark}` } };
}

/** Empties the log and seals `batches` batches of the given numbers of events. */
export async function sealedLog(store: Store, batches: readonly number[]): Promise<CheckpointKey> {
  const key = await loadCheckpointKey(store);
  await sql`truncate events, checkpoints`.execute(store.db);
  for (const count of batches) {
    await transact(store, async (tx, afterCommit) => {
      for (let index = 0; index < count; index += 1) await append(store, tx, afterCommit, personCreated(randomUUID()));
    });
    await sealBatch(store, key, true);
  }
  return key;
}

/** The marks in the order of the log. */
export async function sealedMarks(store: Store): Promise<{ positions: number[]; marks: string[] }> {
  const rows = await store.db
    .selectFrom('events')
    .select(['position', 'body'])
    .where('position', 'is not', null)
    .where('kind', '=', 'person.created')
    .orderBy('position')
    .execute();
  return {
    positions: rows.map((row) => row.position!),
    marks: rows.map((row) => (JSON.parse(row.body) as { ids: { person: string } }).ids.person),
  };
}

export async function exportedLines(store: Store): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of exportLog(store)) lines.push(line);
  return lines;
}

/** The log as it is in the database now, exported and verified. */
export async function verifyStored(store: Store, key: CheckpointKey, trustedCheckpoint?: string) {
  return verifyLog(exportLog(store), {
    verifierKey: key.verifierKey,
    ...(trustedCheckpoint === undefined ? {} : { trustedCheckpoint }),
  });
}
