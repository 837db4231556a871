import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ServerReady } from './set_up.ts';
import type { Story } from './story.ts';

const run = promisify(execFile);
const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Exports the log of the stopped server and verifies the file with nothing but the public key; then with one byte changed. */
export async function exportAndVerify(story: Story, dataDirectory: string, ready: ServerReady): Promise<void> {
  const where = ['--data-dir', dataDirectory];
  const environment = { ...process.env, COUNTERSIGN_ISSUER: ready.issuer };
  const options = { maxBuffer: OUTPUT_BYTES_MAX, env: environment };
  const exported = await run(process.execPath, [COMMAND, 'audit', 'export', ...where], options);
  const file = join(dirname(dataDirectory), 'audit.jsonl');
  await writeFile(file, exported.stdout);
  const verified = await verify(file, ready.verifier_key);
  story.check(verified.holds, `countersign audit verify: ${verified.words}`);
  const kinds = ['step_up.opened', 'decision.made', 'task.ended'];
  story.check(
    kinds.every((kind) => exported.stdout.includes(kind)),
    `it holds ${kinds.join(', ')} and what came between`,
  );
  await writeFile(file, exported.stdout.replace('decision.made', 'decision.mad3'));
  const forged = await verify(file, ready.verifier_key);
  story.check(!forged.holds, `with one byte changed it does not: ${forged.words}`);
}

async function verify(file: string, key: string): Promise<{ holds: boolean; words: string }> {
  try {
    const { stdout } = await run(process.execPath, [COMMAND, 'audit', 'verify', file, '--key', key]);
    return { holds: true, words: stdout.split('\n')[0] ?? '' };
  } catch (error) {
    return { holds: false, words: (error as { stderr?: string }).stderr?.split('\n')[0] ?? String(error) };
  }
}
