import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import {
  MIGRATION_ATTEMPTS_MAX,
  MIGRATION_LOCK_TIMEOUT_MS,
  MIGRATION_RETRY_MS,
  MIGRATION_TABLE_LOCK_MS,
} from './limits.ts';
import { migrations as ownMigrations } from './migrations/index.ts';
import type { SchemaMigrations } from './schema_migration.ts';
import { appliedMigrations, assertNotNewer, MIGRATION_TABLE } from './schema_version.ts';

// "cnts" and "migr" as numbers; several servers starting at once migrate one after the other.
const LOCK_CLASS = 0x636e7473;
const LOCK_OBJECT = 0x6d696772;
const LOCK_TIMEOUT = '55P03';

/** The schema was not brought to this release. The message says what is as it was, and why. */
export class MigrationError extends Error {
  override name = 'MigrationError';
}

/**
 * Brings the schema to this release and returns the names of the migrations it applied. Those that stand together are
 * applied whole or not at all. Servers may work meanwhile: no lock is waited for longer than a moment, since whoever comes
 * after it waits as well; then everything is rolled back and tried again.
 */
export async function migrate<Tables>(
  db: Kysely<Tables>,
  migrations: SchemaMigrations = ownMigrations,
): Promise<readonly string[]> {
  return db.connection().execute(async (connection) => {
    // The limits of a request do not fit a migration; the wait for another server's migration has its own.
    await sql`set statement_timeout = 0`.execute(connection);
    await setLockTimeout(connection, MIGRATION_LOCK_TIMEOUT_MS);
    await lockSchema(connection);
    try {
      const known = await appliedMigrations(connection);
      assertNotNewer(known, migrations);
      const applied: string[] = [];
      for (const steps of inSteps(migrations, known)) {
        await apply(connection, migrations, steps, applied);
        applied.push(...steps);
      }
      return applied;
    } finally {
      await sql`select pg_advisory_unlock(${LOCK_CLASS}::int, ${LOCK_OBJECT}::int)`.execute(connection);
      await sql`reset statement_timeout`.execute(connection);
      await sql`reset lock_timeout`.execute(connection);
    }
  });
}

async function lockSchema<Tables>(connection: Kysely<Tables>): Promise<void> {
  try {
    await sql`select pg_advisory_lock(${LOCK_CLASS}::int, ${LOCK_OBJECT}::int)`.execute(connection);
  } catch (error) {
    if (codeOf(error) !== LOCK_TIMEOUT) throw error;
    throw new MigrationError(
      `Another process has been migrating this database for ${MIGRATION_LOCK_TIMEOUT_MS / 1000} s. Nothing was changed ` +
        'by this one: wait for the other to end, and run it again.',
    );
  }
}

/** What is to be applied, in order; what may share a transaction together, each that may not alone. */
function inSteps(migrations: SchemaMigrations, known: readonly string[]): string[][] {
  const steps: string[][] = [];
  let isOpen = false;
  for (const name of Object.keys(migrations).sort()) {
    if (known.includes(name)) continue;
    const isConcurrent = migrations[name]!.isConcurrent === true;
    if (isOpen && !isConcurrent) steps.at(-1)!.push(name);
    else steps.push([name]);
    isOpen = !isConcurrent;
  }
  return steps;
}

async function apply<Tables>(
  connection: Kysely<Tables>,
  migrations: SchemaMigrations,
  steps: readonly string[],
  applied: readonly string[],
): Promise<void> {
  const last = steps.at(-1)!;
  const isConcurrent = migrations[last]!.isConcurrent === true;
  const upToHere = Object.fromEntries(Object.entries(migrations).filter(([name]) => name <= last));
  const migrator = new Migrator({
    db: connection,
    provider: { getMigrations: async () => upToHere },
    migrationTableName: MIGRATION_TABLE,
    disableTransactions: isConcurrent,
  });
  // What runs concurrently waits for others without standing in anybody's way.
  await setLockTimeout(connection, isConcurrent ? 0 : MIGRATION_TABLE_LOCK_MS);
  for (let attempt = 1; ; attempt += 1) {
    const { error } = await migrator.migrateToLatest();
    if (error === undefined) return;
    if (codeOf(error) === LOCK_TIMEOUT && attempt < MIGRATION_ATTEMPTS_MAX) {
      await sleep(MIGRATION_RETRY_MS);
      continue;
    }
    throw failure(steps, applied, error);
  }
}

function failure(steps: readonly string[], applied: readonly string[], error: unknown): MigrationError {
  const before = applied.length === 0 ? 'nothing was changed' : `only ${applied.join(', ')} was applied`;
  const why =
    codeOf(error) === LOCK_TIMEOUT
      ? ` A table it changes was in use in each of ${MIGRATION_ATTEMPTS_MAX} attempts. Look in pg_stat_activity for a ` +
        'transaction that has been open for long, end it, and run the migration again.'
      : ` ${(error as Error).message}`;
  return new MigrationError(`The database could not be migrated; ${before} (${steps.join(', ')}).${why}`, {
    cause: error,
  });
}

async function setLockTimeout<Tables>(connection: Kysely<Tables>, milliseconds: number): Promise<void> {
  await sql.raw(`set lock_timeout = ${milliseconds}`).execute(connection);
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}
