import type { JsonObject } from '../kernel/json.ts';
import { openWith, sealWith } from '../kernel/vault.ts';
import type { Store } from '../store/store.ts';
import { type Action, canonicalAction } from '../wire/action_digest.ts';

/** The vault's purpose for the data keys of step-ups. */
export const ACTION_KEY_PURPOSE = 'step_up';

/** The action under a data key of its own, so that destroying the key destroys the arguments (design §4). */
export function sealAction(store: Store, action: Action): { action_sealed: Buffer; data_key_wrapped: Buffer } {
  const { key, wrapped } = store.vault.newDataKey(ACTION_KEY_PURPOSE);
  return { action_sealed: sealWith(key, canonicalAction(action)), data_key_wrapped: wrapped };
}

/** The action as it was digested; null once retention destroyed its key. */
export function openAction(
  store: Store,
  row: { readonly action_sealed: Buffer | null; readonly data_key_wrapped: Buffer | null },
): Action | null {
  if (row.action_sealed === null || row.data_key_wrapped === null) return null;
  const key = store.vault.openDataKey(ACTION_KEY_PURPOSE, row.data_key_wrapped);
  return JSON.parse(openWith(key, row.action_sealed).toString('utf8')) as Action;
}

/** Outcomes are kept for replay under the same key as the action they belong to. */
export function sealOutcome(store: Store, dataKeyWrapped: Buffer, outcome: JsonObject): Buffer {
  return sealWith(store.vault.openDataKey(ACTION_KEY_PURPOSE, dataKeyWrapped), JSON.stringify(outcome));
}

export function openOutcome(store: Store, dataKeyWrapped: Buffer, sealed: Buffer): JsonObject {
  return JSON.parse(
    openWith(store.vault.openDataKey(ACTION_KEY_PURPOSE, dataKeyWrapped), sealed).toString('utf8'),
  ) as JsonObject;
}
