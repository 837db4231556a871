import { open, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { verifyLogs } from '../events/verify.ts';
import { CommandError } from './command_error.ts';

/** Verifies exports, the oldest first, as one log and without any server: `countersign audit verify FILE... --key VKEY`. */
export async function auditVerify(
  files: readonly string[],
  options: { readonly key: readonly string[]; readonly checkpoint?: string },
): Promise<void> {
  const inputs: Readable[] = [];
  for (const file of files) inputs.push(file === '-' ? process.stdin : await openToRead(file));
  const trusted =
    options.checkpoint === undefined ? {} : { trustedCheckpoint: await readCheckpoint(options.checkpoint) };
  const verified = await verifyLogs(inputs.map(linesOf), { verifierKey: options.key, ...trusted });
  if (!verified.ok) {
    const { position, problem } = verified.refusal;
    throw new CommandError(`The log does not verify${position === null ? '' : ` at position ${position}`}: ${problem}`);
  }
  const { from, size, checkpoints, erased, root, announcedKeys } = verified.value;
  process.stdout.write(`${size - from} events and ${checkpoints} checkpoints verify. Root ${root}.\n`);
  if (from > 0) {
    process.stdout.write(
      `They start at position ${from}. What came before is in an older export: name it first to verify both as one log.\n`,
    );
  }
  if (erased > 0) process.stdout.write(`${erased} events had their personal part erased; their commitments stand.\n`);
  for (const key of announcedKeys) process.stdout.write(`The key changed; the log announces, for --key: ${key}\n`);
  if (options.checkpoint === undefined) {
    process.stdout.write(
      'Nothing says whether newer events were cut off: give a checkpoint you kept with --checkpoint.\n',
    );
  }
}

/** Read when it is this export's turn: an interface that nobody reads yet loses lines. */
async function* linesOf(input: Readable): AsyncGenerator<string, void, undefined> {
  yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
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
