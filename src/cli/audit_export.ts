import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Config } from '../config.ts';
import { type Exported, exportLog } from '../events/export.ts';
import { markExported, stateAtOrBefore } from '../events/retention.ts';
import { createLogger } from '../kernel/log.ts';
import { openFoundation } from '../server/open_foundation.ts';
import { openDatabase } from '../store/postgres/open.ts';
import { assertSchemaCurrent } from '../store/postgres/schema_version.ts';
import type { Tables } from '../store/postgres/tables.ts';
import { CommandError } from './command_error.ts';
import { devConfig } from './dev.ts';

export interface AuditExportOptions {
  readonly dataDir?: string;
  readonly config?: string;
  readonly since?: number;
}

/**
 * Writes the sealed log to standard output: `countersign audit export`. Of the PostgreSQL that the configuration names, while
 * servers run on it; otherwise of the data directory of a stopped server.
 */
export async function auditExport(options: AuditExportOptions): Promise<void> {
  const config = await devConfig(options);
  const isStopped = options.dataDir !== undefined || config.database.url === null;
  const source = isStopped ? await openStopped(config) : await openRunning(config.database, config.database.url!);
  try {
    const exported = await writeLog(source.db, config.issuer, options.since ?? 0);
    await remember(source.db, exported);
  } finally {
    await source.close();
  }
}

interface Source {
  readonly db: Kysely<Tables>;
  close(): Promise<void>;
}

async function openStopped(config: Config): Promise<Source> {
  if (!existsSync(join(config.data_directory, 'postgres'))) {
    throw new CommandError(
      `There is no server's data in ${config.data_directory}. Name its data directory with --data-dir.`,
    );
  }
  const log = createLogger({ level: 'warn', name: 'countersign' });
  const embedded = { ...config, database: { ...config.database, url: null } };
  const foundation = await openFoundation(embedded, { log, onLost: () => {} });
  return { db: foundation.store.db, close: foundation.stop };
}

/** Needs no key of the server: what is exported is not encrypted. */
async function openRunning({ durability }: Config['database'], url: string): Promise<Source> {
  const log = createLogger({ level: 'warn', name: 'countersign' });
  const database = openDatabase<Tables>({ connection: { url, durability }, poolMax: 1, log });
  await assertSchemaCurrent(database.db).catch(async (error: unknown) => {
    await database.close();
    throw error;
  });
  return database;
}

/** Of one snapshot, so that retention can delete meanwhile. */
async function writeLog(db: Kysely<Tables>, issuer: string, since: number): Promise<Exported> {
  const transaction = db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only');
  return transaction.execute(async (tx) => {
    // The reader of our output may be slow.
    await sql`set local idle_in_transaction_session_timeout = 0`.execute(tx);
    // The issuer that sealed it: the configuration at hand may be of another server.
    const newest = await stateAtOrBefore(tx, Number.MAX_SAFE_INTEGER);
    const lines = exportLog({ db: tx, issuer: newest?.note.split('\n', 1)[0] ?? issuer }, since);
    for (;;) {
      const { done, value } = await lines.next();
      if (done) return value;
      if (!process.stdout.write(`${value}\n`)) await once(process.stdout, 'drain');
    }
  });
}

/** Retention deletes only what was exported. A user of the database that may only read keeps it from deleting. */
async function remember(db: Kysely<Tables>, { from, to }: Exported): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  let counts: boolean;
  try {
    counts = await markExported(db, from, to);
  } catch (error) {
    process.stderr.write(
      `The export is complete, but could not be noted, so retention deletes nothing of it: ${(error as Error).message}\n`,
    );
    return;
  }
  if (counts) return;
  process.stderr.write(
    `The export is complete, but positions before ${from} were never exported, so retention deletes nothing of it. ` +
      'Export once without --since.\n',
  );
}
