import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { exportLog } from '../events/export.ts';
import { verifyLog } from '../events/verify.ts';
import { createLogger } from '../kernel/log.ts';
import { openFoundation } from '../server/foundation.ts';
import type { Store } from '../store/store.ts';
import { devConfig } from './dev.ts';
import { CommandError } from './fail.ts';

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

/** Verifies an export without any server: `countersign audit verify FILE --key VKEY`. */
export async function auditVerify(
  file: string,
  options: { readonly key: string; readonly checkpoint?: string },
): Promise<void> {
  const input = file === '-' ? process.stdin : await openToRead(file);
  const trusted =
    options.checkpoint === undefined ? {} : { trustedCheckpoint: await readCheckpoint(options.checkpoint) };
  const verified = await verifyLog(createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }), {
    verifierKey: options.key,
    ...trusted,
  });
  if (!verified.ok) {
    const { position, problem } = verified.refusal;
    throw new CommandError(`The log does not verify${position === null ? '' : ` at position ${position}`}: ${problem}`);
  }
  const { size, checkpoints, erased, root } = verified.value;
  process.stdout.write(`${size} events and ${checkpoints} checkpoints verify. Root ${root}.\n`);
  if (erased > 0) process.stdout.write(`${erased} events had their personal part erased; their commitments stand.\n`);
  if (options.checkpoint === undefined) {
    process.stdout.write(
      'Nothing says whether newer events were cut off: give a checkpoint you kept with --checkpoint.\n',
    );
  }
}

async function openToRead(file: string): Promise<Readable> {
  try {
    return (await open(file)).createReadStream();
  } catch (error) {
    throw new CommandError(`The export ${file} cannot be read: ${(error as Error).message}`);
  }
}

async function readCheckpoint(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CommandError(`The checkpoint ${file} cannot be read: ${(error as Error).message}`);
  }
}
