import { ACTION_KEY_PURPOSE } from '../approvals/sealed_action.ts';
import { CHECKPOINT_KEY_PURPOSE } from '../events/checkpoint_key.ts';
import { KEY_VAULT_PURPOSE } from '../keys/make_key.ts';
import type { SealedColumn } from '../keys/rewrap.ts';
import { AUTHORIZATION_PURPOSE } from '../signals/streams/stream.ts';
import { ARTIFACT_PURPOSE } from '../store/postgres/artifacts.ts';

/** Everything in PostgreSQL that is sealed under the root key itself. What a data key seals needs no other root key. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  {
    table: 'keys',
    column: 'private_sealed',
    key: ['kid'],
    by: ['purpose'],
    rewrap: (vault, value, { purpose }) =>
      vault.reseal(purpose === 'checkpoint' ? CHECKPOINT_KEY_PURPOSE : KEY_VAULT_PURPOSE, value),
  },
  {
    table: 'step_ups',
    column: 'data_key_wrapped',
    key: ['id'],
    rewrap: (vault, value) => vault.rewrapDataKey(ACTION_KEY_PURPOSE, value),
  },
  {
    table: 'artifacts',
    column: 'payload_sealed',
    key: ['kind', 'id_hash'],
    rewrap: (vault, value) => vault.reseal(ARTIFACT_PURPOSE, value),
  },
  {
    table: 'signal_streams',
    column: 'authorization_sealed',
    key: ['id'],
    rewrap: (vault, value) => vault.reseal(AUTHORIZATION_PURPOSE, value),
  },
];
