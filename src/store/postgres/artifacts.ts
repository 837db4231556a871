import { type Selectable, sql } from 'kysely';
import { sha256Base64url } from '../../kernel/digest.ts';
import type { ArtifactKind, ArtifactRecord, ArtifactStore, SaveOutcome, StoredArtifact } from '../artifacts.ts';
import type { Store, Tx } from '../store.ts';
import { PRUNE_ROWS_MAX, REVOKED_GRANT_SECONDS } from './limits.ts';
import type { ArtifactsTable } from './tables.ts';

/** What is sealed. It repeats the row's own key, so that a row copied over another one does not open. */
interface SealedArtifact {
  readonly kind: string;
  readonly id: string;
  readonly record: ArtifactRecord;
}

/** The vault's purpose for artifacts at rest. */
export const ARTIFACT_PURPOSE = 'artifact';
/** Distinguishes our locks on grants from other advisory locks, which have one 64-bit number. */
const GRANT_LOCK = 7_310;

/** The artifact port on PostgreSQL, for what must survive a restart: refresh tokens and Grants at the least. */
export function createPostgresArtifactStore(
  store: Pick<Store, 'db' | 'vault'>,
): ArtifactStore & { prune(): Promise<number> } {
  const find = async (kind: ArtifactKind, column: 'id_hash' | 'uid_hash' | 'user_code_hash', name: string) => {
    const row = await store.db
      .selectFrom('artifacts')
      .selectAll()
      .where('kind', '=', kind)
      .where(column, '=', hashOf(name))
      .where(isLive)
      .limit(1)
      .executeTakeFirst();
    return row === undefined ? undefined : open(store, row);
  };
  return {
    save: (kind, id, record, ttlSeconds) =>
      unlessRevoked(store, record.grantId, ttlSeconds, (db) => write(store, db, { kind, id, record }, ttlSeconds)),
    saveNew: (kind, id, record, ttlSeconds) =>
      unlessRevoked(store, record.grantId, ttlSeconds, (db) => insert(store, db, { kind, id, record }, ttlSeconds)),
    find: (kind, id) => find(kind, 'id_hash', id),
    findByUid: (kind, uid) => find(kind, 'uid_hash', uid),
    findByUserCode: (kind, userCode) => find(kind, 'user_code_hash', userCode),
    async consume(kind, id) {
      const consumed = await store.db
        .updateTable('artifacts')
        .set({ consumed_at: sql<Date>`clock_timestamp()` })
        .where('kind', '=', kind)
        .where('id_hash', '=', hashOf(id))
        .where('consumed_at', 'is', null)
        .where(isLive)
        .returning('id_hash')
        .executeTakeFirst();
      if (consumed !== undefined) return 'consumed';
      return (await find(kind, 'id_hash', id)) === undefined ? 'not_found' : 'already_consumed';
    },
    async destroy(kind, id) {
      await store.db.deleteFrom('artifacts').where('kind', '=', kind).where('id_hash', '=', hashOf(id)).execute();
    },
    revokeByGrant: (grantId) => revoke(store, hashOf(grantId)),
    prune: () => prune(store),
  };
}

const isLive = sql<boolean>`(expires_at is null or expires_at > clock_timestamp())`;

/**
 * Saves while no revocation of its grant can pass in between. The lock is taken by a statement of its own: in READ
 * COMMITTED the next statement then sees a revocation that it had to wait for.
 */
async function unlessRevoked(
  store: Pick<Store, 'db'>,
  grantId: string | undefined,
  ttlSeconds: number | undefined,
  save: (db: Store['db'] | Tx) => Promise<SaveOutcome>,
): Promise<SaveOutcome> {
  const isExpired = ttlSeconds !== undefined && ttlSeconds <= 0;
  if (grantId === undefined) return isExpired ? 'saved' : save(store.db);
  const grantIdHash = hashOf(grantId);
  return store.db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock_shared(${GRANT_LOCK}, hashtext(${grantIdHash}))`.execute(tx);
    const revoked = await tx
      .selectFrom('revoked_artifact_grants')
      .select('grant_id_hash')
      .where('grant_id_hash', '=', grantIdHash)
      .executeTakeFirst();
    if (revoked !== undefined) return 'grant_revoked';
    return isExpired ? 'saved' : save(tx);
  });
}

async function write(
  store: Pick<Store, 'vault'>,
  db: Store['db'] | Tx,
  artifact: SealedArtifact,
  ttlSeconds: number | undefined,
): Promise<SaveOutcome> {
  const row = rowOf(store, artifact, ttlSeconds);
  const saved = await db
    .insertInto('artifacts')
    .values(row)
    .onConflict((conflict) =>
      conflict.columns(['kind', 'id_hash']).doUpdateSet(row).where('artifacts.consumed_at', 'is', null),
    )
    .returning('id_hash')
    .executeTakeFirst();
  return saved === undefined ? 'already_consumed' : 'saved';
}

async function insert(
  store: Pick<Store, 'vault'>,
  db: Store['db'] | Tx,
  artifact: SealedArtifact,
  ttlSeconds: number,
): Promise<SaveOutcome> {
  const row = rowOf(store, artifact, ttlSeconds);
  const saved = await db
    .insertInto('artifacts')
    .values(row)
    .onConflict((conflict) =>
      conflict
        .columns(['kind', 'id_hash'])
        .doUpdateSet({ ...row, consumed_at: null })
        .where('artifacts.expires_at', '<=', sql<Date>`clock_timestamp()`),
    )
    .returning('id_hash')
    .executeTakeFirst();
  return saved === undefined ? 'already_exists' : 'saved';
}

function rowOf(store: Pick<Store, 'vault'>, artifact: SealedArtifact, ttlSeconds: number | undefined) {
  const { grantId, uid, userCode } = artifact.record;
  return {
    kind: artifact.kind,
    id_hash: hashOf(artifact.id),
    payload_sealed: store.vault.seal(ARTIFACT_PURPOSE, JSON.stringify(artifact)),
    grant_id_hash: grantId === undefined ? null : hashOf(grantId),
    uid_hash: uid === undefined ? null : hashOf(uid),
    user_code_hash: userCode === undefined ? null : hashOf(userCode),
    expires_at: ttlSeconds === undefined ? null : sql<Date>`clock_timestamp() + make_interval(secs => ${ttlSeconds})`,
  };
}

function open(store: Pick<Store, 'vault'>, row: Selectable<ArtifactsTable>): StoredArtifact {
  const artifact = JSON.parse(store.vault.open(ARTIFACT_PURPOSE, row.payload_sealed).toString()) as SealedArtifact;
  if (artifact.kind !== row.kind || hashOf(artifact.id) !== row.id_hash) {
    throw new Error(`The stored ${row.kind} holds another artifact: its row in the database was changed by hand.`);
  }
  const { record } = artifact;
  return row.consumed_at === null ? record : { ...record, consumedAt: Math.floor(row.consumed_at.getTime() / 1000) };
}

async function revoke(store: Pick<Store, 'db'>, grantIdHash: string): Promise<void> {
  await store.db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock(${GRANT_LOCK}, hashtext(${grantIdHash}))`.execute(tx);
    await tx
      .insertInto('revoked_artifact_grants')
      .values({ grant_id_hash: grantIdHash })
      .onConflict((conflict) =>
        conflict.column('grant_id_hash').doUpdateSet({ revoked_at: sql<Date>`clock_timestamp()` }),
      )
      .execute();
    await tx.deleteFrom('artifacts').where('grant_id_hash', '=', grantIdHash).execute();
  });
}

/**
 * Ends refresh families in the transaction that ends their tasks. Without the locks of `revoke`: something saved in this
 * moment may stay behind, but not its Grant, and without that, as without its task, it is worth nothing.
 */
export async function revokeGrantsWith(tx: Tx, grantIds: readonly string[]): Promise<void> {
  if (grantIds.length === 0) return;
  const hashes = grantIds.map(hashOf).sort();
  await sql`insert into revoked_artifact_grants (grant_id_hash) select unnest(${hashes}::text[])
    on conflict (grant_id_hash) do update set revoked_at = clock_timestamp()`.execute(tx);
  await sql`delete from artifacts where grant_id_hash = any(${hashes}::text[])`.execute(tx);
}

/** Deletes some of what expired and the oldest marks of revoked grants; answers how many rows. Run it periodically. */
async function prune(store: Pick<Store, 'db'>): Promise<number> {
  const expired = await sql`
    delete from artifacts where ctid in (
      select ctid from artifacts where expires_at <= now() limit ${PRUNE_ROWS_MAX} for update skip locked
    )`.execute(store.db);
  const revoked = await sql`
    delete from revoked_artifact_grants where grant_id_hash in (
      select grant_id_hash from revoked_artifact_grants
      where revoked_at <= clock_timestamp() - make_interval(secs => ${REVOKED_GRANT_SECONDS})
      limit ${PRUNE_ROWS_MAX} for update skip locked
    )`.execute(store.db);
  return Number(expired.numAffectedRows ?? 0n) + Number(revoked.numAffectedRows ?? 0n);
}

function hashOf(name: string): string {
  return sha256Base64url(name);
}
