import type { Vault } from '../../kernel/vault.ts';
import type { ArtifactKind, ArtifactRecord, ArtifactStore, SaveOutcome, StoredArtifact } from '../artifacts.ts';
import type { RedisConnection, RedisEpoch } from './connection.ts';
import { digestOf, type EntryName, entryName, entryOf } from './keys.ts';
import { REVOKED_GRANT_MS, UNLIMITED_MS } from './limits.ts';

/** What is sealed. It repeats its own name, so that a record copied over another one does not open. */
interface SealedArtifact {
  readonly kind: string;
  readonly id: string;
  readonly record: ArtifactRecord;
}

type Way = 'saveArtifact' | 'saveNewArtifact';

const PURPOSE = 'artifact';

/**
 * The artifact port on Redis, for kinds that may be lost. Ids are hashed and payloads sealed.
 *
 * An artifact lies under the tag of its id, its grant under a tag of its own, and no script reaches both. So an artifact
 * lives only as long as its grant's entry says so: a save joins the grant after it wrote, and counts only then; whoever
 * finds or consumes asks the grant after the artifact. A revocation is one step on the grant's entry and ends them all.
 */
export function createRedisArtifactStore(options: {
  readonly connection: RedisConnection;
  readonly vault: Vault;
  readonly epoch: () => RedisEpoch;
}): ArtifactStore {
  const { connection, vault } = options;

  /** All steps of one operation work in the same epoch. */
  const runner =
    (epoch = options.epoch()) =>
    (...call: RunCall) =>
      connection.run(epoch, ...call);

  const read = async (run: Runner, name: EntryName): Promise<StoredArtifact | undefined> => {
    const [payload, consumed] = (await run('findArtifact', name)) as [string | null, string | null];
    if (payload === null) return undefined;
    const record = open(vault, name, payload);
    return consumed === null ? record : { ...record, consumedAt: Number(consumed) };
  };
  const find = async (run: Runner, name: EntryName): Promise<StoredArtifact | undefined> => {
    const record = await read(run, name);
    return record !== undefined && (await isLive(run, record)) ? record : undefined;
  };
  const findBy = async (kind: ArtifactKind, which: 'uid' | 'userCode', value: string) => {
    const run = runner();
    const digest = (await run('get', secondName(kind, which, value))) as string | undefined;
    if (digest === undefined) return undefined;
    const record = await find(run, entryOf('artifact', digest));
    // A replaced artifact may have another second name now.
    return record?.[which] === value ? record : undefined;
  };
  const save = async (way: Way, artifact: SealedArtifact, ttlSeconds: number | undefined): Promise<SaveOutcome> => {
    const { kind, id, record } = artifact;
    const run = runner();
    const ttlMs = ttlSeconds === undefined ? UNLIMITED_MS : Math.min(Math.ceil(ttlSeconds * 1000), UNLIMITED_MS);
    if (ttlMs <= 0) return (await join(run, record, 1)) ?? 'saved';
    const name = artifactName(kind, id);
    // Before the artifact, so that whoever is told of it finds it by every name.
    for (const which of ['uid', 'userCode'] as const) {
      const value = record[which];
      if (value !== undefined) await run('put', secondName(kind, which, value), digestOf(name), ttlMs);
    }
    const sealed = vault.seal(PURPOSE, JSON.stringify(artifact)).toString('base64');
    const outcome = (await run(way, name, sealed, ttlMs)) as SaveOutcome;
    const refusal = await join(run, record, ttlMs);
    if (refusal !== undefined && outcome === 'saved') await run('delete', name);
    return refusal ?? outcome;
  };
  return {
    save: (kind, id, record, ttlSeconds) => save('saveArtifact', { kind, id, record }, ttlSeconds),
    saveNew: (kind, id, record, ttlSeconds) => save('saveNewArtifact', { kind, id, record }, ttlSeconds),
    find: (kind, id) => find(runner(), artifactName(kind, id)),
    findByUid: (kind, uid) => findBy(kind, 'uid', uid),
    findByUserCode: (kind, userCode) => findBy(kind, 'userCode', userCode),
    async consume(kind, id) {
      const run = runner();
      const name = artifactName(kind, id);
      const record = await read(run, name);
      if (record === undefined) return 'not_found';
      const outcome = (await run('consumeArtifact', name)) as 'consumed' | 'already_consumed' | 'not_found';
      return (await isLive(run, record)) ? outcome : 'not_found';
    },
    async destroy(kind, id) {
      await runner()('delete', artifactName(kind, id));
    },
    async revokeByGrant(grantId) {
      await runner()('revokeGrant', grantName(grantId), REVOKED_GRANT_MS);
    },
  };
}

type RunCall = Parameters<RedisConnection['run']> extends [RedisEpoch, ...infer Rest] ? Rest : never;
type Runner = (...call: RunCall) => Promise<unknown>;

/** Lets the grant live as long as this artifact of it; the refusal if it was revoked. */
async function join(run: Runner, { grantId }: ArtifactRecord, ttlMs: number): Promise<'grant_revoked' | undefined> {
  if (grantId === undefined) return undefined;
  return (await run('joinGrant', grantName(grantId), ttlMs)) === 'live' ? undefined : 'grant_revoked';
}

async function isLive(run: Runner, { grantId }: ArtifactRecord): Promise<boolean> {
  return grantId === undefined || (await run('get', grantName(grantId))) === 'live';
}

function open(vault: Vault, name: EntryName, payload: string): ArtifactRecord {
  const artifact = JSON.parse(vault.open(PURPOSE, Buffer.from(payload, 'base64')).toString()) as SealedArtifact;
  if (artifactName(artifact.kind, artifact.id).name !== name.name) {
    throw new Error(`The stored ${artifact.kind} lies under the name of another: Redis was changed by hand.`);
  }
  return artifact.record;
}

function artifactName(kind: ArtifactKind, id: string): EntryName {
  return entryName('artifact', kind, id);
}

function secondName(kind: ArtifactKind, which: 'uid' | 'userCode', value: string): EntryName {
  return entryName('name', kind, which, value);
}

function grantName(grantId: string): EntryName {
  return entryName('grant', grantId);
}
