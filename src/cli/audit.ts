import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { exportLog } from '../events/export.ts';
import { verifyLog } from '../events/verify.ts';
import { createLogger } from '../kernel/log.ts';
import { openFoundation } from '../server/foundation.ts';
import { devConfig } from './dev.ts';
import { CommandError } from './fail.ts';

/** Writes the sealed log of a stopped server's data directory to standard output: `countersign audit export`. */
export async function auditExport(options: { readonly dataDir?: string; readonly config?: string }): Promise<void> {
  const log = createLogger({ level: 'warn', name: 'countersign' });
  const foundation = await openFoundation(await devConfig(options), { log, onLost: () => {} });
  try {
    for await (const line of exportLog(foundation.store)) process.stdout.write(`${line}\n`);
  } finally {
    await foundation.stop();
  }
}

/** Verifies an export without any server: `countersign audit verify FILE --key VKEY`. */
export async function auditVerify(
  file: string,
  options: { readonly key: string; readonly checkpoint?: string },
): Promise<void> {
  const input = file === '-' ? process.stdin : createReadStream(file);
  const trusted =
    options.checkpoint === undefined ? {} : { trustedCheckpoint: readFileSync(options.checkpoint, 'utf8') };
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
