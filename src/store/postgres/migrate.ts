import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { MIGRATION_LOCK_TIMEOUT_MS } from './limits.ts';
import { migrations as ownMigrations } from './migrations/index.ts';
import { appliedMigrations, assertNotNewer, MIGRATION_TABLE } from './schema_version.ts';

// "cnts" and "migr" as numbers; several servers starting at once migrate one after the other.
const LOCK_CLASS = 0x636e7473;
const LOCK_OBJECT = 0x6d696772;

/** Brings the schema to this release, whole or not at all, and returns the names of the migrations it applied. */
export async function migrate<Tables>(
  db: Kysely<Tables>,
  migrations: Readonly<Record<string, Migration>> = ownMigrations,
): Promise<readonly string[]> {
  return db.connection().execute(async (connection) => {
    // The limits of a request do not fit a migration; the wait for another server's migration has its own.
    await sql`set statement_timeout = 0`.execute(connection);
    await sql.raw(`set lock_timeout = ${MIGRATION_LOCK_TIMEOUT_MS}`).execute(connection);
    await sql`select pg_advisory_lock(${LOCK_CLASS}::int, ${LOCK_OBJECT}::int)`.execute(connection);
    try {
      assertNotNewer(await appliedMigrations(connection), migrations);
      const migrator = new Migrator({
        db: connection,
        provider: { getMigrations: async () => ({ ...migrations }) },
        migrationTableName: MIGRATION_TABLE,
      });
      const { error, results } = await migrator.migrateToLatest();
      if (error !== undefined)
        throw new Error('The database could not be migrated; nothing was changed', { cause: error });
      return (results ?? []).map(({ migrationName }) => migrationName);
    } finally {
      await sql`select pg_advisory_unlock(${LOCK_CLASS}::int, ${LOCK_OBJECT}::int)`.execute(connection);
      await sql`reset statement_timeout`.execute(connection);
      await sql`reset lock_timeout`.execute(connection);
    }
  });
}
