import type { Migration } from 'kysely/migration';

/** `isConcurrent`: runs outside a transaction, as `create index concurrently` must (migrations/README.md). */
export interface SchemaMigration extends Migration {
  readonly isConcurrent?: boolean;
}

export type SchemaMigrations = Readonly<Record<string, SchemaMigration>>;
