import { open, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { verifyLog } from '../events/verify.ts';
import { CommandError } from './command_error.ts';

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
