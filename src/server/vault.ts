import { resolve } from 'node:path';
import type { Config } from '../config.ts';
import { createVault, type Vault } from '../kernel/vault.ts';
import { loadPreviousRootKey, loadRootKey } from '../store/root_key.ts';

/** The vault under the root key, which also opens what the previous one sealed. Throws `RootKeyError`. */
export async function openVault(
  config: Config,
  root: { readonly path: string; readonly mayCreate: boolean },
): Promise<Vault> {
  const rootKey = await loadRootKey({ ...root, key: process.env.COUNTERSIGN_ROOT_KEY });
  const previousFile = config.root_key_previous_file;
  const previous = await loadPreviousRootKey({
    path: previousFile === null ? null : resolve(previousFile),
    key: process.env.COUNTERSIGN_ROOT_KEY_PREVIOUS,
  });
  return createVault(rootKey, previous);
}
