import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { migrations as ownMigrations } from './migrations/index.ts';

export const MIGRATION_TABLE = 'kysely_migration';

/** The database was migrated by a newer release. Nothing was changed. */
export class SchemaNewerError extends Error {
  override name = 'SchemaNewerError';
  readonly unknownMigrations: readonly string[];

  constructor(unknownMigrations: readonly string[]) {
    super(
      `The database was migrated by a newer release of Countersign (${unknownMigrations.join(', ')}). ` +
        'Start that release or a later one; this one cannot read the data safely and has changed nothing.',
    );
    this.unknownMigrations = unknownMigrations;
  }
}

/** The database lacks migrations of this release. Nothing was changed. */
export class SchemaOlderError extends Error {
  override name = 'SchemaOlderError';

  constructor(missing: readonly string[]) {
    super(
      `The database is not migrated to this release of Countersign (missing: ${missing.join(', ')}). ` +
        'Run: countersign migrate. Servers of the release before may go on meanwhile.',
    );
  }
}

/** The names of the migrations that were applied, in order; none for a new database. */
export async function appliedMigrations<Tables>(db: Kysely<Tables>): Promise<readonly string[]> {
  const table = await sql<{ found: boolean }>`select to_regclass(${MIGRATION_TABLE}) is not null as found`.execute(db);
  if (table.rows[0]?.found !== true) return [];
  const applied = await sql<{ name: string }>`select name from ${sql.table(MIGRATION_TABLE)} order by name`.execute(db);
  return applied.rows.map(({ name }) => name);
}

export function assertNotNewer(applied: readonly string[], migrations: Readonly<Record<string, Migration>>): void {
  const unknown = applied.filter((name) => !Object.hasOwn(migrations, name));
  if (unknown.length > 0) throw new SchemaNewerError(unknown);
}

/** Throws `SchemaNewerError` or `SchemaOlderError` unless the schema is exactly that of this release. */
export async function assertSchemaCurrent<Tables>(
  db: Kysely<Tables>,
  migrations: Readonly<Record<string, Migration>> = ownMigrations,
): Promise<void> {
  const applied = await appliedMigrations(db);
  assertNotNewer(applied, migrations);
  const missing = Object.keys(migrations).filter((name) => !applied.includes(name));
  if (missing.length > 0) throw new SchemaOlderError(missing);
}
