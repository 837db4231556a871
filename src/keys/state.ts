import type { Selectable } from 'kysely';
import type { KeysTable } from '../store/postgres/tables.ts';

export type KeyTimes = Pick<Selectable<KeysTable>, 'state' | 'activates_at' | 'retires_at' | 'verifies_until'>;

/**
 * The life of a key: `published` verifies and does not sign yet, `signing` does both, `retired` verifies what it signed,
 * `ended` and `revoked` do nothing. In the JWKS are the first three.
 */
export type KeyState = 'published' | 'signing' | 'retired' | 'ended' | 'revoked';

export function keyStateAt(key: KeyTimes, now: Date): KeyState {
  if (key.state === 'revoked') return 'revoked';
  // Retired without a time: unknown, so it verifies nothing.
  if (key.state === 'retired' && (key.verifies_until === null || key.verifies_until <= now)) return 'ended';
  if (key.activates_at > now) return 'published';
  return key.retires_at === null || key.retires_at > now ? 'signing' : 'retired';
}

export function isVerifying(state: KeyState): boolean {
  return state === 'published' || state === 'signing' || state === 'retired';
}

/** What verifies at `now`, the one that signs first, then from the youngest to the oldest. */
export function inOrderOfUse<Key extends KeyTimes>(keys: readonly Key[], now: Date): Key[] {
  const rank = (key: Key) => (keyStateAt(key, now) === 'signing' ? 0 : 1);
  return keys
    .filter((key) => isVerifying(keyStateAt(key, now)))
    .sort((a, b) => rank(a) - rank(b) || b.activates_at.getTime() - a.activates_at.getTime());
}
