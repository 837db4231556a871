import type { Store } from '../store/store.ts';
import { signAtOnce } from './retire.ts';
import { changeKeys, keysOf, SIGNING_PURPOSES } from './rotate.ts';
import { keyStateAt } from './state.ts';

/** Makes the keys an installation starts with: for each purpose one that signs now. */
export async function makeMissingKeys(store: Store): Promise<void> {
  await changeKeys(store, async (change) => {
    for (const purpose of SIGNING_PURPOSES) {
      const keys = await keysOf(change.tx, purpose);
      if (!keys.some((key) => keyStateAt(key, change.now) === 'signing')) await signAtOnce(change, purpose, keys);
    }
  });
}
