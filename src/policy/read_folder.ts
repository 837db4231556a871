import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { PolicyProblem } from './problem.ts';
import type { PolicyFile } from './source.ts';

/** Reads every `.cedar` file of a folder, in order of name; the only part of the policy layer that touches a disk. */
export async function readPolicyFolder(
  folder: string,
): Promise<Result<readonly PolicyFile[], readonly PolicyProblem[]>> {
  const unreadable = (path: string, error: unknown): PolicyProblem => ({
    path,
    line: 0,
    message: `It cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
    instead: 'Check that it exists and that this process may read it.',
  });
  const names = await readdir(folder).catch((error: unknown) => unreadable(folder, error));
  if (!Array.isArray(names)) return refused([names]);
  const files: PolicyFile[] = [];
  const problems: PolicyProblem[] = [];
  for (const name of names.filter((one) => one.endsWith('.cedar')).sort()) {
    const path = join(folder, name);
    const text = await readFile(path, 'utf8').catch((error: unknown) => unreadable(path, error));
    if (typeof text === 'string') files.push({ path, text });
    else problems.push(text);
  }
  return problems.length > 0 ? refused(problems) : accepted(files);
}
