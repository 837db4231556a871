import { sql } from 'kysely';
import type { Store, Tx } from '../store/store.ts';
import { EVENT_MAC_PURPOSE } from './append.ts';
import { signCheckpoint, verifyCheckpoint } from './checkpoint.ts';
import { type CheckpointKey, findCheckpointKey } from './checkpoint_key.ts';
import { SEAL_EVENTS_MAX } from './limits.ts';
import { appendLeaf, type Frontier, leafHash, rootOf } from './merkle.ts';

/** One sealer at a time, fenced by its transaction: whoever loses the connection loses lock and work together. */
const SEAL_LOCK = 7_310_003;

interface LogState {
  readonly size: number;
  readonly frontier: Frontier;
}

/**
 * Gives the next committed events their positions, appends their leaves (the UTF-8 bytes of `body`) and signs a
 * checkpoint, in one transaction. Positions count from 0 without gaps, in order of id among what has committed; an event
 * that commits late comes later. Answers how many it sealed; `busy` if another sealer is at work and `isPatient` is not.
 * `key` is the one in force when it was read; if another is by now, that one signs.
 */
export async function sealBatch(
  store: Pick<Store, 'db' | 'vault'>,
  key: CheckpointKey,
  isPatient: boolean,
): Promise<number | 'busy'> {
  return store.db.transaction().execute(async (tx) => {
    if (!(await lockLog(tx, isPatient))) return 'busy';
    const inForce = await findCheckpointKey(store, tx, key.name, key);
    if (inForce === undefined)
      throw new Error('No key signs checkpoints. Make one: countersign keys rotate checkpoint');
    return sealNext(store, tx, inForce);
  });
}

/** Seals the next batch; the caller holds the lock of the log. */
export async function sealNext(store: Pick<Store, 'vault'>, tx: Tx, key: CheckpointKey): Promise<number> {
  const events = await tx
    .selectFrom('events')
    .select(['id', 'body', 'mac'])
    .where('position', 'is', null)
    .orderBy('id')
    .limit(SEAL_EVENTS_MAX)
    .execute();
  if (events.length === 0) return 0;
  let { size, frontier } = await lastState(tx, key);
  const first = size;
  for (const event of events) {
    if (!store.vault.isMac(EVENT_MAC_PURPOSE, event.body, event.mac)) {
      throw new Error(
        `Event ${event.id} was changed or written by another hand after the fact, so the log is not continued: ` +
          'look at that row of "events", and check that the root key belongs to this database.',
      );
    }
    frontier = appendLeaf(frontier, size, leafHash(event.body));
    size += 1;
  }
  await sql`
      update events set position = sealed.position
      from unnest(${events.map((event) => event.id)}::bigint[], ${events.map((_, index) => first + index)}::bigint[])
        as sealed (id, position)
      where events.id = sealed.id`.execute(tx);
  await tx
    .insertInto('checkpoints')
    .values({
      size,
      root: rootOf(frontier).toString('base64'),
      note: signCheckpoint(key, { size, root: rootOf(frontier) }),
      frontier: JSON.stringify(frontier.map((hash) => hash.toString('base64'))),
    })
    .execute();
  return events.length;
}

/** Only one continues the log; held until the transaction ends. False if another holds it and `isPatient` is not. */
export async function lockLog(tx: Tx, isPatient: boolean): Promise<boolean> {
  if (isPatient) {
    await sql`select pg_advisory_xact_lock(${SEAL_LOCK})`.execute(tx);
    return true;
  }
  const { rows } = await sql<{ locked: boolean }>`select pg_try_advisory_xact_lock(${SEAL_LOCK}) as locked`.execute(tx);
  return rows[0]!.locked;
}

/** Where the log stands, by a checkpoint that our own key signed: a row changed by hand is not built upon. */
export async function lastState(tx: Tx, key: CheckpointKey): Promise<LogState> {
  const row = await tx
    .selectFrom('checkpoints')
    .select(['size', 'note', 'frontier'])
    .orderBy('size', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return { size: 0, frontier: [] };
  const frontier = row.frontier.map((hash) => Buffer.from(hash, 'base64'));
  const checkpoint = verifyCheckpoint(key.verifier, row.note);
  const problem = !checkpoint.ok
    ? checkpoint.refusal
    : checkpoint.value.size !== row.size || !checkpoint.value.root.equals(rootOf(frontier))
      ? 'it signs another state than its row holds'
      : null;
  if (problem === null) return { size: row.size, frontier };
  throw new Error(
    `The last checkpoint of the event log, at size ${row.size}, cannot be built upon: ${problem}. Check that issuer and ` +
      'root key are those this database was made with; otherwise restore the database.',
  );
}
