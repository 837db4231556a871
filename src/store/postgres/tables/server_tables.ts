import type { Generated } from 'kysely';
import type { JsonObject, JsonValue } from '../../../kernel/json.ts';
import type { Json, Stamped } from './columns.ts';

export interface RevokedTokensTable {
  jti: string;
  expires_at: Date;
}

export interface EventsTable {
  /** Order of insertion, not of commit: only `position` orders the log. */
  id: Generated<number>;
  position: number | null;
  kind: string;
  /** Canonical JSON of the leaf: kind, time, ids, salted commitment to the personal part. */
  body: string;
  body_digest: string;
  mac: Buffer;
  /** Names and free text, outside the leaf behind its salted commitment; may be erased. */
  personal: Json<JsonObject> | null;
  at: Stamped;
}

export interface CheckpointsTable {
  size: number;
  root: string;
  note: string;
  /** Hashes of the perfect subtrees at this size, so that the sealer can go on without reading all leaves. */
  frontier: Json<readonly string[]>;
  at: Stamped;
}

export interface ArtifactsTable {
  kind: string;
  id_hash: string;
  payload_sealed: Buffer;
  grant_id_hash: string | null;
  uid_hash: string | null;
  user_code_hash: string | null;
  consumed_at: Date | null;
  expires_at: Date | null;
}

export interface RevokedArtifactGrantsTable {
  grant_id_hash: string;
  revoked_at: Stamped;
}

export type KeyPurpose = 'token' | 'lease' | 'checkpoint' | 'cookie';

/**
 * A key verifies from `created_at` and signs from `activates_at` to `retires_at`, when a younger one takes over. What it is
 * at a moment follows from these times (`keys/state.ts`).
 */
export interface KeysTable {
  kid: string;
  purpose: KeyPurpose;
  algorithm: string;
  public_jwk: Json<JsonObject>;
  /** Empty once the key neither signs nor verifies. */
  private_sealed: Buffer;
  /** What was decided of it: `retired` has an end, `verifies_until`; `revoked` verifies nothing from that moment. */
  state: 'active' | 'retired' | 'revoked';
  created_at: Stamped;
  activates_at: Stamped;
  retires_at: Date | null;
  verifies_until: Date | null;
}

/** What PostgreSQL keeps of what may be lost, where there is no Redis (unlogged: a crash empties it). */
export interface EphemeralEntriesTable {
  key: string;
  value: string;
  expires_at: Date;
}

/** One row: where the memory of replay marks is, and since when it remembers. */
export interface EphemeralMemoryTable {
  only_row: Generated<boolean>;
  place: 'redis' | 'postgres';
  epoch: string;
  since: Stamped;
  /** `run_id` of every Redis primary that holds it. */
  servers: Json<readonly string[]>;
}

export interface PolicyVersionsTable {
  serial: Generated<number>;
  version: string;
  files: Json<JsonValue>;
  activated_at: Stamped;
}

export interface SettingsTable {
  name: string;
  value: Json<JsonValue>;
}
