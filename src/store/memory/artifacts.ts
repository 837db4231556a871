import type { ArtifactKind, ArtifactRecord, ArtifactStore, SaveOutcome, StoredArtifact } from '../artifacts.ts';
import { ExpiringMap } from './expiring_map.ts';
import { ARTIFACTS_MAX, REVOKED_GRANT_MS } from './limits.ts';

export interface MemoryArtifactOptions {
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
  readonly artifactsMax?: number;
}

/** The payload as text, so that no caller holds what another may change. */
interface Entry extends Omit<ArtifactRecord, 'payload'> {
  readonly payload: string;
  readonly consumedAt?: number;
}

/** What dies with a grant, remembered as long as the longest of it lives. */
interface GrantKeys {
  readonly keys: Set<string>;
  readonly untilMs: number;
}

/** The artifact port for one process; everything in it is lost with the process. */
export function createMemoryArtifactStore(options: MemoryArtifactOptions = {}): ArtifactStore {
  const now = options.now ?? Date.now;
  const artifactsMax = options.artifactsMax ?? ARTIFACTS_MAX;
  const artifacts = new ExpiringMap<Entry>(artifactsMax, now);
  const names = new ExpiringMap<string>(2 * artifactsMax, now);
  const keysOfGrant = new ExpiringMap<GrantKeys>(artifactsMax, now);
  const revokedGrants = new ExpiringMap<true>(artifactsMax, now);

  // One step each: nothing awaits between reading and writing.
  const save = (key: string, kind: ArtifactKind, record: ArtifactRecord, expiresAtMs: number): SaveOutcome => {
    const { payload, grantId, uid, userCode } = record;
    if (grantId !== undefined && revokedGrants.get(grantId) !== undefined) return 'grant_revoked';
    if (expiresAtMs <= now()) return 'saved';
    artifacts.set(key, { ...record, payload: JSON.stringify(payload) }, expiresAtMs);
    if (uid !== undefined) names.set(nameKey(kind, 'uid', uid), key, expiresAtMs);
    if (userCode !== undefined) names.set(nameKey(kind, 'user_code', userCode), key, expiresAtMs);
    if (grantId !== undefined) {
      const { keys, untilMs } = keysOfGrant.get(grantId) ?? { keys: [], untilMs: 0 };
      const live = [...keys].filter((other) => artifacts.get(other) !== undefined);
      const longest = Math.max(untilMs, expiresAtMs);
      keysOfGrant.set(grantId, { keys: new Set([...live, key]), untilMs: longest }, longest);
    }
    return 'saved';
  };
  const destroy = (key: string): void => {
    const grantId = artifacts.get(key)?.grantId;
    artifacts.delete(key);
    if (grantId === undefined) return;
    const keys = keysOfGrant.get(grantId)?.keys;
    keys?.delete(key);
    if (keys?.size === 0) keysOfGrant.delete(grantId);
  };
  const findBy = (kind: ArtifactKind, which: 'uid' | 'user_code', name: string): StoredArtifact | undefined => {
    const key = names.get(nameKey(kind, which, name));
    const entry = key === undefined ? undefined : artifacts.get(key);
    // A replaced artifact may have another second name now.
    return (which === 'uid' ? entry?.uid : entry?.userCode) === name ? stored(entry) : undefined;
  };
  return {
    async save(kind, id, record, ttlSeconds) {
      const key = artifactKey(kind, id);
      if (artifacts.get(key)?.consumedAt !== undefined) return 'already_consumed';
      return save(key, kind, record, expiry(now(), ttlSeconds));
    },
    async saveNew(kind, id, record, ttlSeconds) {
      const key = artifactKey(kind, id);
      if (artifacts.get(key) !== undefined) return 'already_exists';
      return save(key, kind, record, expiry(now(), ttlSeconds));
    },
    find: async (kind, id) => stored(artifacts.get(artifactKey(kind, id))),
    findByUid: async (kind, uid) => findBy(kind, 'uid', uid),
    findByUserCode: async (kind, userCode) => findBy(kind, 'user_code', userCode),
    async consume(kind, id) {
      const key = artifactKey(kind, id);
      const entry = artifacts.get(key);
      if (entry === undefined) return 'not_found';
      if (entry.consumedAt !== undefined) return 'already_consumed';
      artifacts.replace(key, { ...entry, consumedAt: Math.floor(now() / 1000) });
      return 'consumed';
    },
    destroy: async (kind, id) => destroy(artifactKey(kind, id)),
    async revokeByGrant(grantId) {
      for (const key of keysOfGrant.get(grantId)?.keys ?? []) artifacts.delete(key);
      keysOfGrant.delete(grantId);
      revokedGrants.set(grantId, true, now() + REVOKED_GRANT_MS);
    },
  };
}

function stored(entry: Entry | undefined): StoredArtifact | undefined {
  return entry === undefined ? undefined : { ...entry, payload: JSON.parse(entry.payload) };
}

function expiry(nowMs: number, ttlSeconds: number | undefined): number {
  return ttlSeconds === undefined ? Number.POSITIVE_INFINITY : nowMs + ttlSeconds * 1000;
}

function artifactKey(kind: ArtifactKind, id: string): string {
  return `${kind}\0${id}`;
}

function nameKey(kind: ArtifactKind, which: 'uid' | 'user_code', name: string): string {
  return `${which}\0${kind}\0${name}`;
}
