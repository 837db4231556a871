import type { JsonObject } from '../kernel/json.ts';

/** The kinds of record that the OAuth engine keeps by id and that we must be able to consume once and revoke. */
export type ArtifactKind = string;

/**
 * What to keep. `grantId` groups artifacts that die together; `uid` and `userCode` are second names.
 */
export interface ArtifactRecord {
  readonly payload: JsonObject;
  readonly grantId?: string;
  readonly uid?: string;
  readonly userCode?: string;
}

/** `consumedAt` is seconds since 1970 of the first consumption, undefined while unused. */
export interface StoredArtifact extends ArtifactRecord {
  readonly consumedAt?: number;
}

export type SaveOutcome = 'saved' | 'grant_revoked' | 'already_consumed' | 'already_exists';
export type ConsumeOutcome = 'consumed' | 'already_consumed' | 'not_found';

/**
 * The port for OAuth artifacts. Short-lived kinds may live in memory or Redis; refresh tokens and Grants live in
 * PostgreSQL. Ids and second names are hashed at rest and payloads encrypted. Every implementation passes
 * `test/store/artifact_contract.ts`.
 */
export interface ArtifactStore {
  /**
   * Saves or replaces. Must answer `grant_revoked` once `revokeByGrant` has been called for its grant, even if the save
   * began earlier; `already_consumed` if the stored one was consumed (a consumed artifact is never revived).
   * `ttlSeconds` undefined means no expiry; a ttl of zero or less saves nothing and answers `saved`.
   */
  save(kind: ArtifactKind, id: string, record: ArtifactRecord, ttlSeconds: number | undefined): Promise<SaveOutcome>;
  /** Saves only if the id has no live record: `already_exists` for all but one of many callers (replay marks). */
  saveNew(kind: ArtifactKind, id: string, record: ArtifactRecord, ttlSeconds: number): Promise<SaveOutcome>;
  /** The live record, consumed or not; undefined if none was saved, it expired, was destroyed, or its grant was revoked. */
  find(kind: ArtifactKind, id: string): Promise<StoredArtifact | undefined>;
  findByUid(kind: ArtifactKind, uid: string): Promise<StoredArtifact | undefined>;
  findByUserCode(kind: ArtifactKind, userCode: string): Promise<StoredArtifact | undefined>;
  /** Marks as consumed. Of many callers exactly one is told `consumed`. Never creates or extends a record. */
  consume(kind: ArtifactKind, id: string): Promise<ConsumeOutcome>;
  destroy(kind: ArtifactKind, id: string): Promise<void>;
  /** Destroys all artifacts of the grant and refuses later saves for it, for at least a day. */
  revokeByGrant(grantId: string): Promise<void>;
}
