import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { exportLog } from '../events/export.ts';
import { createLogger } from '../kernel/log.ts';
import { openFoundation } from '../server/open_foundation.ts';
import type { Store } from '../store/store.ts';
import { CommandError } from './command_error.ts';
import { devConfig } from './dev.ts';

/** Writes the sealed log of a stopped server's data directory to standard output: `countersign audit export`. */
export async function auditExport(options: { readonly dataDir?: string; readonly config?: string }): Promise<void> {
  const log = createLogger({ level: 'warn', name: 'countersign' });
  const config = await devConfig(options);
  if (!existsSync(join(config.data_directory, 'postgres'))) {
    throw new CommandError(
      `There is no server's data in ${config.data_directory}. Name its data directory with --data-dir.`,
    );
  }
  const foundation = await openFoundation(config, { log, onLost: () => {} });
  try {
    const { db, issuer } = foundation.store;
    for await (const line of exportLog({ db, issuer: (await sealedOrigin(foundation.store)) ?? issuer })) {
      process.stdout.write(`${line}\n`);
    }
  } finally {
    await foundation.stop();
  }
}

/** The issuer that sealed this log, from its newest checkpoint: the configuration at hand may be of another server. */
async function sealedOrigin({ db }: Store): Promise<string | undefined> {
  const newest = await db.selectFrom('checkpoints').select('note').orderBy('size', 'desc').limit(1).executeTakeFirst();
  return newest?.note.split('\n', 1)[0];
}
