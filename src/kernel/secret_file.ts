import { readFile, stat } from 'node:fs/promises';
import { accepted, type Result, refused } from './result.ts';

/** Why a file with a secret cannot be used, for the operator. */
export interface SecretFileProblem {
  readonly kind: 'exposed' | 'unreadable';
  readonly message: string;
}

/**
 * The text of a file that holds a secret. Nobody but its owner may read it; its group may where root owns it, which is
 * how systemd and Kubernetes hand out secrets (and the rule of PostgreSQL for its keys).
 */
export async function readSecretFile(path: string): Promise<Result<string, SecretFileProblem>> {
  try {
    const { mode, uid } = await stat(path);
    const forbidden = uid === 0 ? 0o027 : 0o077;
    if ((mode & forbidden) !== 0) {
      return refused({ kind: 'exposed', message: `Others can read the file ${path}. Run: chmod 600 ${path}` });
    }
    return accepted(await readFile(path, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return refused({ kind: 'unreadable', message: `The file ${path} cannot be read (${code ?? message}).` });
  }
}
