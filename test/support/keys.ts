import { openKeyring } from '../../src/keys/keyring.ts';
import { tokenVerificationKeys } from '../../src/keys/verification_keys.ts';
import { type ProviderKeys, providerKeys } from '../../src/provider/keys.ts';
import type { Store } from '../../src/store/store.ts';

/** The keys of the installation as they are now; they do not follow changes. */
export async function loadProviderKeys(store: Store): Promise<ProviderKeys> {
  const keyring = await openKeyring(store);
  const keys = providerKeys(keyring, tokenVerificationKeys(keyring));
  await keyring.stop();
  return keys;
}
