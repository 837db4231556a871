import { sql } from 'kysely';
import type { Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { append } from './append.ts';
import {
  announcementOf,
  type CheckpointKey,
  findCheckpointKey,
  loadCheckpointKey,
  makeCheckpointKey,
} from './checkpoint_key.ts';
import { SEAL_EVENTS_MAX } from './limits.ts';
import { lastState, lockLog, sealBatch, sealNext } from './seal.ts';
import { addSignature } from './signed_note.ts';

/**
 * Puts a new key in force for checkpoints. The new key is announced in the log, the log up to there is sealed with the old
 * one, and that checkpoint is signed by both: whoever holds either key verifies the whole log. In one transaction, while
 * nobody else seals; sealers pick the new key up with their next batch.
 */
export async function rotateCheckpointKey(store: Store): Promise<CheckpointKey> {
  const known = await loadCheckpointKey(store);
  // So that little is left to do while the lock is held.
  while ((await sealBatch(store, known, true)) === SEAL_EVENTS_MAX);
  return succeed(store, known, 'retired', async (tx, old) => {
    while ((await sealNext(store, tx, old)) === SEAL_EVENTS_MAX);
  });
}

/**
 * For a key that leaked: it signs nothing more, not even the announcement of its successor. Those who verify must be
 * handed the new key by another way than the log. The last checkpoint it signed is signed anew, once.
 */
export async function revokeCheckpointKey(store: Store): Promise<CheckpointKey> {
  return succeed(store, await loadCheckpointKey(store), 'revoked', async () => {});
}

async function succeed(
  store: Store,
  known: CheckpointKey,
  end: 'retired' | 'revoked',
  seal: (tx: Tx, old: CheckpointKey) => Promise<void>,
): Promise<CheckpointKey> {
  return transact(store, async (tx, afterCommit) => {
    await lockLog(tx, true);
    const old = await findCheckpointKey(store, tx, known.name, known);
    if (old === undefined) throw new Error('The key of checkpoints ended while another was made. Try again.');
    await endKey(tx, old, end);
    const next = await makeCheckpointKey(store, tx);
    await append(store, tx, afterCommit, { kind: 'key.made', ids: announcementOf(next) });
    await append(store, tx, afterCommit, { kind: `key.${end}`, ids: { kid: old.kid, purpose: 'checkpoint' } });
    await seal(tx, old);
    // What the old key signed is checked a last time before the new one signs for it.
    const { size } = await lastState(tx, old);
    await signAsWell(tx, next, size);
    return next;
  });
}

/** Its private part is destroyed: it never signs again, and the last checkpoint carries the signature of its successor. */
async function endKey(tx: Tx, key: CheckpointKey, end: 'retired' | 'revoked'): Promise<void> {
  const now = sql<Date>`clock_timestamp()`;
  await tx
    .updateTable('keys')
    .set({ state: end, retires_at: now, verifies_until: now, private_sealed: Buffer.alloc(0) })
    .where('kid', '=', key.kid)
    .execute();
}

async function signAsWell(tx: Tx, key: CheckpointKey, size: number): Promise<void> {
  const row = await tx.selectFrom('checkpoints').select('note').where('size', '=', size).executeTakeFirst();
  if (row === undefined) return;
  await tx
    .updateTable('checkpoints')
    .set({ note: addSignature(key, row.note) })
    .where('size', '=', size)
    .execute();
}
