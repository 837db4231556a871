import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256Base64url as hash } from '../../../src/kernel/digest.ts';
import { createVault } from '../../../src/kernel/vault.ts';
import { createPostgresArtifactStore } from '../../../src/store/postgres/artifacts.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { artifactContract } from '../artifact_contract.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const vault = createVault(Buffer.alloc(32, 3));
const open = () => createPostgresArtifactStore({ db: database.db, vault });

// The clock is PostgreSQL's own, so time passes by moving what is stored into the past.
async function advance(milliseconds: number): Promise<void> {
  const by = sql`make_interval(secs => ${milliseconds / 1000})`;
  await sql`update artifacts set expires_at = expires_at - ${by}, consumed_at = consumed_at - ${by}`.execute(
    database.db,
  );
  await sql`update revoked_artifact_grants set revoked_at = revoked_at - ${by}`.execute(database.db);
  await open().prune();
}

artifactContract('postgres', async () => ({ store: open(), advance }));

describe('postgres: artifacts at rest', () => {
  it('keeps no id, second name or payload in the clear', async () => {
    const record = {
      payload: { secret: 'payload-text' },
      grantId: 'grant-text',
      uid: 'uid-text',
      userCode: 'code-text',
    };
    await open().save('Session', 'id-text', record, 60);
    const { rows } = await sql`select artifacts::text, payload_sealed from artifacts`.execute(database.db);
    const dump = rows
      .map((row) =>
        Object.values(row as object)
          .map(String)
          .join(),
      )
      .join();
    for (const text of ['payload-text', 'grant-text', 'uid-text', 'code-text', 'id-text']) {
      expect(dump).not.toContain(text);
    }
  });

  it('does not open a row that was copied over another one', async () => {
    const store = open();
    await store.save('Session', 'mine', { payload: { account: 'mallory' } }, 60);
    await store.save('Session', 'theirs', { payload: { account: 'ada' } }, 60);
    const sealed = (id: string) => sql`(select payload_sealed from artifacts where id_hash = ${hash(id)})`;
    await sql`update artifacts set payload_sealed = ${sealed('theirs')} where id_hash = ${hash('mine')}`.execute(
      database.db,
    );
    await expect(store.find('Session', 'mine')).rejects.toThrow('holds another artifact');
  });

  it('makes a save wait for a revocation under way, and then refuses it', async () => {
    const store = open();
    let saved: Promise<string> | undefined;
    await database.db.transaction().execute(async (tx) => {
      await sql`select pg_advisory_xact_lock(7310, hashtext(${hash('g')}))`.execute(tx);
      saved = store.save('RefreshToken', 'late', { payload: {}, grantId: 'g' }, 60);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await tx
        .insertInto('revoked_artifact_grants')
        .values({ grant_id_hash: hash('g') })
        .execute();
    });
    expect(await saved).toBe('grant_revoked');
    expect(await store.find('RefreshToken', 'late')).toBeUndefined();
  });

  it('prunes what expired and old marks of revoked grants, and nothing else', async () => {
    const store = open();
    await store.prune();
    await store.save('Session', 'live', { payload: {} }, 60);
    await store.save('Grant', 'for-ever', { payload: {} }, undefined);
    await store.save('Session', 'expired', { payload: {} }, 60);
    await store.revokeByGrant('old');
    await store.revokeByGrant('new');
    await sql`update artifacts set expires_at = clock_timestamp() where id_hash = ${hash('expired')}`.execute(
      database.db,
    );
    await sql`update revoked_artifact_grants set revoked_at = clock_timestamp() - interval '3 days'
      where grant_id_hash = ${hash('old')}`.execute(database.db);
    expect(await store.prune()).toBe(2);
    expect(await store.prune()).toBe(0);
    expect(await store.find('Session', 'live')).toBeDefined();
    expect(await store.find('Grant', 'for-ever')).toBeDefined();
    expect(await store.save('RefreshToken', 'x', { payload: {}, grantId: 'new' }, 60)).toBe('grant_revoked');
  });
});
