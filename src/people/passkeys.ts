import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { SignedIn } from '../model/person.ts';
import type { Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { PASSKEY_NAME_CHARACTERS_MAX } from './limits.ts';
import { lockPersonForChange } from './session.ts';
import { parseVisibleName } from './visible_name.ts';

export interface PasskeySummary {
  readonly credentialId: string;
  readonly name: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly isBackedUp: boolean;
}

const NOT_FOUND = refusal('not_found', 'You have no such passkey.');

/** The person's own passkeys, the oldest first. */
export async function listPasskeys(store: Store, signedIn: SignedIn): Promise<PasskeySummary[]> {
  const rows = await store.db
    .selectFrom('passkeys')
    .select(['credential_id', 'name', 'created_at', 'last_used_at', 'backed_up'])
    .where('person_id', '=', signedIn.person.id)
    .orderBy('created_at')
    .orderBy('credential_id')
    .execute();
  return rows.map((row) => ({
    credentialId: row.credential_id,
    name: row.name,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    isBackedUp: row.backed_up,
  }));
}

/** The passkeys of a person in the form WebAuthn options name them. */
export async function passkeysOf(
  db: Store['db'] | Tx,
  personId: string,
): Promise<{ id: string; transports: string[] }[]> {
  const rows = await db
    .selectFrom('passkeys')
    .select(['credential_id', 'transports'])
    .where('person_id', '=', personId)
    .execute();
  return rows.map((row) => ({ id: row.credential_id, transports: [...row.transports] }));
}

export async function renamePasskey(
  store: Store,
  signedIn: SignedIn,
  credentialId: string,
  name: string,
): Promise<Result<null, Refusal>> {
  const visibleName = parseVisibleName(name, PASSKEY_NAME_CHARACTERS_MAX);
  if (!visibleName.ok) return visibleName;
  return transact(store, async (tx, afterCommit) => {
    const renamed = await tx
      .updateTable('passkeys')
      .set({ name: visibleName.value })
      .where('credential_id', '=', credentialId)
      .where('person_id', '=', signedIn.person.id)
      .returning('credential_id')
      .executeTakeFirst();
    if (renamed === undefined) return refused(NOT_FOUND);
    await append(store, tx, afterCommit, {
      kind: 'passkey.renamed',
      ids: { person: signedIn.person.id, passkey: credentialId },
      personal: { name: visibleName.value },
    });
    return accepted(null);
  });
}

/**
 * Removes a passkey, but never the last: its owner could not sign in again, and since the first passkey is free, whoever
 * holds a session could remove all and add one of their own.
 */
export async function removePasskey(
  store: Store,
  signedIn: SignedIn,
  credentialId: string,
): Promise<Result<null, Refusal>> {
  const personId = signedIn.person.id;
  return transact(store, async (tx, afterCommit) => {
    await lockPersonForChange(tx, personId);
    const passkeys = await passkeysOf(tx, personId);
    if (!passkeys.some((passkey) => passkey.id === credentialId)) return refused(NOT_FOUND);
    if (passkeys.length === 1) {
      const message = 'This is your last passkey: without it you could not sign in. Add another one first.';
      return refused(refusal('conflict', message));
    }
    const { device_type } = await tx
      .deleteFrom('passkeys')
      .where('credential_id', '=', credentialId)
      .returning('device_type')
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'passkey.removed',
      ids: { person: personId, passkey: credentialId, device_type },
    });
    return accepted(null);
  });
}
