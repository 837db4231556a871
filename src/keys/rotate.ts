import { type Selectable, sql } from 'kysely';
import { append } from '../events/append.ts';
import type { KeysTable } from '../store/postgres/tables.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { overlapSeconds, type SigningPurpose } from './limits.ts';
import { announceKeys, lockKeys, makeKey } from './make_key.ts';
import { keyStateAt } from './state.ts';

export const SIGNING_PURPOSES: readonly SigningPurpose[] = ['token', 'lease', 'cookie'];

export interface Rotation {
  readonly purpose: SigningPurpose;
  /** The key that signs next. */
  readonly kid: string;
  readonly signsFrom: Date;
  /** A rotation was under way already: its key is the next one, and none was made. */
  readonly wasUnderWay: boolean;
}

export type KeyRow = Selectable<KeysTable>;

/** What a change of the keys works with, in one transaction that holds their lock. */
export interface KeyChange {
  readonly store: Pick<Store, 'vault' | 'ephemeral'>;
  readonly tx: Tx;
  readonly afterCommit: AfterCommit;
  /** The clock of PostgreSQL, read while the lock is held. */
  readonly now: Date;
}

/** Runs `work` as the only change of the keys, of all processes. */
export function changeKeys<Value>(store: Store, work: (change: KeyChange) => Promise<Value>): Promise<Value> {
  return transact(store, async (tx, afterCommit) => {
    await lockKeys(tx);
    const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(tx);
    return work({ store, tx, afterCommit, now: rows[0]!.now });
  });
}

/**
 * Publishes a new key that signs `publishSeconds` from now, when the one that signs now retires. Asked again before that,
 * nothing is made: however many rotate at once, one key comes next.
 */
export function rotateKey(store: Store, purpose: SigningPurpose, publishSeconds: number): Promise<Rotation> {
  return changeKeys(store, async (change) =>
    rotateIn(change, purpose, await keysOf(change.tx, purpose), publishSeconds),
  );
}

export async function rotateIn(
  change: KeyChange,
  purpose: SigningPurpose,
  keys: readonly KeyRow[],
  publishSeconds: number,
): Promise<Rotation> {
  const next = keys.find((key) => keyStateAt(key, change.now) === 'published');
  if (next !== undefined) return { purpose, kid: next.kid, signsFrom: next.activates_at, wasUnderWay: true };
  return succeed(change, purpose, keys, publishSeconds);
}

/** Makes the next key; what signs now, or was to sign next, retires when it takes over. With nobody to wait for it signs at once. */
export async function succeed(
  change: KeyChange,
  purpose: SigningPurpose,
  keys: readonly KeyRow[],
  publishSeconds: number,
): Promise<Rotation> {
  const { store, tx, afterCommit, now } = change;
  const signing = keys.filter((key) => keyStateAt(key, now) === 'signing');
  const signsFrom = signing.length === 0 ? now : new Date(now.getTime() + publishSeconds * 1000);
  const kid = await makeKey(store, tx, afterCommit, { purpose, activatesAt: signsFrom });
  for (const key of signing) await retireAt(change, key, signsFrom);
  await forgetEnded(change, keys);
  return { purpose, kid, signsFrom, wasUnderWay: false };
}

/** The key stops signing at `retiresAt` and verifies what it signed for as long as that can live. */
export async function retireAt({ store, tx, afterCommit }: KeyChange, key: KeyRow, retiresAt: Date): Promise<void> {
  const purpose = key.purpose as SigningPurpose;
  // One that never signed has nothing to verify.
  const overlapMs = retiresAt <= key.activates_at ? 0 : overlapSeconds(purpose) * 1000;
  const verifiesUntil = new Date(retiresAt.getTime() + overlapMs);
  await tx
    .updateTable('keys')
    .set({ state: 'retired', retires_at: retiresAt, verifies_until: verifiesUntil })
    .where('kid', '=', key.kid)
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'key.retired',
    ids: { kid: key.kid, purpose, retires_at: retiresAt.toISOString(), verifies_until: verifiesUntil.toISOString() },
  });
  announceKeys(store, afterCommit);
}

/** Destroys the private part of what ended: nobody needs it, and it is no longer there to be stolen. */
async function forgetEnded({ tx, now }: KeyChange, keys: readonly KeyRow[]): Promise<void> {
  const ended = keys.filter((key) => keyStateAt(key, now) === 'ended').map((key) => key.kid);
  if (ended.length === 0) return;
  await tx
    .updateTable('keys')
    .set({ private_sealed: Buffer.alloc(0) })
    .where('kid', 'in', ended)
    .execute();
}

export function keysOf(tx: Tx, purpose: SigningPurpose): Promise<KeyRow[]> {
  return tx.selectFrom('keys').selectAll().where('purpose', '=', purpose).orderBy('created_at').execute();
}
