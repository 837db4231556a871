import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import type { SigningPurpose } from './limits.ts';
import { announceKeys, makeKey } from './make_key.ts';
import { changeKeys, type KeyChange, type KeyRow, keysOf, retireAt, rotateIn, succeed } from './rotate.ts';
import { isVerifying, type KeyState, keyStateAt } from './state.ts';

export interface Retirement {
  readonly kid: string;
  readonly purpose: SigningPurpose;
  /** Verifies nothing any more: it was revoked, or never signed. */
  readonly isOver: boolean;
  readonly verifiesUntil: Date | null;
  /** The key that signs instead, and from when. */
  readonly successor: { readonly kid: string; readonly signsFrom: Date } | null;
}

/** Ends one key as a rotation would: what it signed goes on to verify until it expires. */
export function retireKey(store: Store, kid: string, publishSeconds: number): Promise<Result<Retirement, string>> {
  return changeKeys(store, async (change) => {
    const found = await findKey(change, kid);
    if (!found.ok) return found;
    const { key, state, keys, purpose } = found.value;
    if (state === 'published') {
      // It never signed: another one takes its place, and whoever signs now goes on until then.
      await retireAt(change, key, change.now);
      const next = await succeed(change, purpose, without(keys, kid), publishSeconds);
      return accepted({ kid, purpose, isOver: true, verifiesUntil: null, successor: next });
    }
    if (state !== 'signing') return refused(nothingToDo(key, state));
    const next = await rotateIn(change, purpose, keys, publishSeconds);
    const [retired] = (await keysOf(change.tx, purpose)).filter((row) => row.kid === kid);
    return accepted({ kid, purpose, isOver: false, verifiesUntil: retired!.verifies_until, successor: next });
  });
}

/**
 * For a key that leaked: from the commit on it verifies nothing, and what it signed is refused wherever this is known. If it
 * signed, another key signs at once.
 */
export function revokeKey(store: Store, kid: string, publishSeconds: number): Promise<Result<Retirement, string>> {
  return changeKeys(store, async (change) => {
    const found = await findKey(change, kid);
    if (!found.ok) return found;
    const { key, state, keys, purpose } = found.value;
    if (state === 'revoked') return refused(nothingToDo(key, state));
    await revoke(change, key);
    const others = without(keys, kid);
    const successor =
      state === 'signing'
        ? await signAtOnce(change, purpose, others)
        : state === 'published'
          ? await succeed(change, purpose, others, publishSeconds)
          : null;
    return accepted({ kid, purpose, isOver: true, verifiesUntil: null, successor });
  });
}

interface Found {
  readonly key: KeyRow;
  readonly state: KeyState;
  readonly purpose: SigningPurpose;
  readonly keys: readonly KeyRow[];
}

async function findKey({ tx, now }: KeyChange, kid: string): Promise<Result<Found, string>> {
  const row = await tx.selectFrom('keys').select('purpose').where('kid', '=', kid).executeTakeFirst();
  if (row === undefined) return refused(`There is no key ${kid}. See them with: countersign keys list`);
  if (row.purpose === 'checkpoint') throw new TypeError('Checkpoint keys are retired by the event log.');
  const keys = await keysOf(tx, row.purpose);
  const key = keys.find((one) => one.kid === kid)!;
  return accepted({ key, state: keyStateAt(key, now), purpose: row.purpose, keys });
}

function nothingToDo(key: KeyRow, state: KeyState): string {
  return isVerifying(state)
    ? `The key ${key.kid} is retired already and verifies until ${key.verifies_until?.toISOString()}. To end it now: --now.`
    : `The key ${key.kid} is ${state} already: it signs and verifies nothing.`;
}

async function revoke({ store, tx, afterCommit, now }: KeyChange, key: KeyRow): Promise<void> {
  await tx
    .updateTable('keys')
    .set({ state: 'revoked', verifies_until: now, private_sealed: Buffer.alloc(0) })
    .where('kid', '=', key.kid)
    .execute();
  await append(store, tx, afterCommit, { kind: 'key.revoked', ids: { kid: key.kid, purpose: key.purpose } });
  announceKeys(store, afterCommit);
}

/** The key that was to sign next, since some know it already; otherwise a new one. */
export async function signAtOnce(
  { store, tx, afterCommit, now }: KeyChange,
  purpose: SigningPurpose,
  keys: readonly KeyRow[],
): Promise<{ kid: string; signsFrom: Date }> {
  const next = keys.find((key) => keyStateAt(key, now) === 'published');
  if (next === undefined) {
    return { kid: await makeKey(store, tx, afterCommit, { purpose, activatesAt: now }), signsFrom: now };
  }
  await tx.updateTable('keys').set({ activates_at: now }).where('kid', '=', next.kid).execute();
  await append(store, tx, afterCommit, { kind: 'key.activated', ids: { kid: next.kid, purpose } });
  announceKeys(store, afterCommit);
  return { kid: next.kid, signsFrom: now };
}

function without(keys: readonly KeyRow[], kid: string): KeyRow[] {
  return keys.filter((key) => key.kid !== kid);
}
