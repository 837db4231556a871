import type { SignedIn } from '../model/person.ts';
import type { Store } from '../store/store.ts';
import { ADD_PASSKEY_MS } from './limits.ts';

/** The purpose to confirm, by `beginConfirmation` and `finishConfirmation`, before a second passkey is added. */
export const ADD_PASSKEY_PURPOSE = 'add-passkey';

// A session that confirmed by a passkey may add one, once, for a short while. Losing the mark means confirming again.

export async function allowAddingPasskey(store: Pick<Store, 'ephemeral'>, signedIn: SignedIn): Promise<void> {
  await store.ephemeral.put(keyOf(signedIn), '1', ADD_PASSKEY_MS);
}

export async function mayAddPasskey(store: Pick<Store, 'ephemeral'>, signedIn: SignedIn): Promise<boolean> {
  return (await store.ephemeral.get(keyOf(signedIn))) !== undefined;
}

/** True once for each confirmation. */
export async function takeAddingPasskey(store: Pick<Store, 'ephemeral'>, signedIn: SignedIn): Promise<boolean> {
  return (await store.ephemeral.take(keyOf(signedIn))) !== undefined;
}

function keyOf(signedIn: SignedIn): string {
  return `add_passkey:${signedIn.sessionIdHash}`;
}
