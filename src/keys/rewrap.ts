import { sql } from 'kysely';
import { type Vault, VaultError } from '../kernel/vault.ts';
import type { Store } from '../store/store.ts';
import { REWRAP_ROWS_MAX } from './limits.ts';

/** A column whose values are sealed under the root key, or wrapped data keys. Empty and null values hold nothing. */
export interface SealedColumn {
  readonly table: string;
  readonly column: string;
  /** Unique, text, and never changed. */
  readonly key: readonly string[];
  /** What the values are sealed for, by the row's `by` column where one table holds several purposes. */
  readonly rewrap: (vault: Vault, value: Buffer, row: Readonly<Record<string, string>>) => Buffer;
  /** Columns that `rewrap` needs besides the value. */
  readonly by?: readonly string[];
}

export interface RewrapOutcome {
  readonly rewrapped: number;
  /** Rows that neither root key opens. */
  readonly unreadable: number;
}

/**
 * Seals every value of a column that is not under the root key in force anew. In batches, each committed on its own: ended
 * in the middle, the next run goes on with what is left. A value that changed meanwhile is left to whoever changed it.
 */
export async function rewrapColumn(store: Pick<Store, 'db' | 'vault'>, column: SealedColumn): Promise<RewrapOutcome> {
  let rewrapped = 0;
  let unreadable = 0;
  let after: string[] | null = null;
  for (;;) {
    const rows: SealedRow[] = await readBatch(store, column, after);
    const changes = rows.flatMap((row) => {
      const value = sealAnew(store.vault, column, row);
      return value === null ? [] : [{ row, value }];
    });
    unreadable += rows.length - changes.length;
    rewrapped += await writeBatch(store, column, changes);
    const last = rows.at(-1);
    if (last === undefined || rows.length < REWRAP_ROWS_MAX) return { rewrapped, unreadable };
    after = column.key.map((name) => last[name] as string);
  }
}

/** How many values are not under the root key in force: while there are any, the previous one is needed. */
export async function countLeft({ db, vault }: Pick<Store, 'db' | 'vault'>, column: SealedColumn): Promise<number> {
  const { rows } = await sql<{ left: number }>`
    select count(*)::integer as left from ${sql.table(column.table)} where ${isLeft(vault, column)}`.execute(db);
  return rows[0]!.left;
}

interface SealedRow extends Record<string, unknown> {
  readonly sealed_value: Buffer;
}

async function readBatch(
  { db, vault }: Pick<Store, 'db' | 'vault'>,
  column: SealedColumn,
  after: readonly string[] | null,
): Promise<SealedRow[]> {
  const key = sql.join(column.key.map((name) => sql.ref(name)));
  const wanted = sql.join([...new Set([...column.key, ...(column.by ?? [])])].map((name) => sql.ref(name)));
  const from = after === null ? sql`true` : sql`(${key}) > (${sql.join(after)})`;
  const { rows } = await sql<SealedRow>`
    select ${wanted}, ${sql.ref(column.column)} as sealed_value from ${sql.table(column.table)}
    where ${isLeft(vault, column)} and ${from} order by ${key} limit ${REWRAP_ROWS_MAX}`.execute(db);
  return rows;
}

function isLeft(vault: Vault, { column }: SealedColumn) {
  const { sealedPrefix } = vault;
  const value = sql.ref(column);
  return sql<boolean>`(octet_length(${value}) > 0 and substring(${value} from 1 for ${sealedPrefix.length}) <> ${sealedPrefix})`;
}

function sealAnew(vault: Vault, column: SealedColumn, row: SealedRow): Buffer | null {
  try {
    return column.rewrap(vault, row.sealed_value, row as unknown as Record<string, string>);
  } catch (error) {
    if (error instanceof VaultError) return null;
    throw error;
  }
}

async function writeBatch(
  { db }: Pick<Store, 'db'>,
  { table, column, key }: SealedColumn,
  changes: readonly { row: SealedRow; value: Buffer }[],
): Promise<number> {
  if (changes.length === 0) return 0;
  const keyArrays = key.map((name) => sql`${changes.map(({ row }) => row[name])}::text[]`);
  const isSameRow = key.map((name) => sql`target.${sql.ref(name)} = anew.${sql.ref(name)}`);
  const { numAffectedRows } = await sql`
    update ${sql.table(table)} as target set ${sql.ref(column)} = anew.value
    from unnest(${sql.join(keyArrays)}, ${changes.map(({ row }) => row.sealed_value)}::bytea[],
      ${changes.map(({ value }) => value)}::bytea[])
      as anew (${sql.join(key.map((name) => sql.ref(name)))}, before, value)
    where ${sql.join(isSameRow, sql` and `)} and target.${sql.ref(column)} = anew.before`.execute(db);
  return Number(numAffectedRows ?? 0n);
}
