import { readFile, stat } from 'node:fs/promises';
import { accepted, type Result, refused } from './result.ts';

/**
 * The text of a file that holds a secret, or why it cannot be used. Nobody but its owner may read it; its group may where
 * root owns it, which is how systemd and Kubernetes hand out secrets (and the rule of PostgreSQL for its keys).
 */
export async function readSecretFile(path: string): Promise<Result<string, string>> {
  try {
    const { mode, uid } = await stat(path);
    const forbidden = uid === 0 ? 0o027 : 0o077;
    if ((mode & forbidden) !== 0) {
      return refused(`Others than its owner may use the file ${path}. Run: chmod 600 ${path}`);
    }
    return accepted(await readFile(path, 'utf8'));
  } catch (error) {
    return refused(`The file ${path} cannot be read (${(error as Error).message}).`);
  }
}
