import { chown, lstat, readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { EmbeddedPostgresError } from './failure.ts';

/** The user that PostgreSQL runs as when Countersign itself runs as root, which PostgreSQL refuses to do. */
export interface OperatingUser {
  readonly uid: number;
  readonly gid: number;
}

const PREFERRED_NAMES = ['postgres', 'nobody'];

/**
 * Undefined when the current user may run PostgreSQL itself. For root: the owner of the existing cluster, so that a
 * later start never needs another user than the first, or else an unprivileged account of the system.
 */
export async function chooseOperatingUser(clusterDirectory: string): Promise<OperatingUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const existing = await stat(clusterDirectory).catch(() => undefined);
  if (existing !== undefined && existing.uid !== 0) return { uid: existing.uid, gid: existing.gid };
  const accounts = await readFile('/etc/passwd', 'utf8').catch(() => '');
  for (const name of PREFERRED_NAMES) {
    const match = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm').exec(accounts);
    if (match !== null) return { uid: Number(match[1]), gid: Number(match[2]) };
  }
  throw new EmbeddedPostgresError(
    'user_missing',
    'PostgreSQL does not run as root, and this system has neither a user `postgres` nor `nobody` to run it as. ' +
      'Run Countersign as an ordinary user, or create one: useradd --system postgres',
  );
}

/** Whether `user` may enter every directory down to `path` and read it. Judged by mode bits; access lists only add. */
export async function canReach(user: OperatingUser, path: string): Promise<boolean> {
  let current = resolve(path);
  for (;;) {
    const status = await stat(current);
    const shift = status.uid === user.uid ? 6 : status.gid === user.gid ? 3 : 0;
    const needed = current === resolve(path) ? 0o5 : 0o1;
    if (((status.mode >> shift) & needed) !== needed) return false;
    const parent = dirname(current);
    if (parent === current) return true;
    current = parent;
  }
}

export async function giveTo(user: OperatingUser | undefined, ...paths: readonly string[]): Promise<void> {
  if (user === undefined) return;
  for (const path of paths) await chown(path, user.uid, user.gid);
}

/** Whether a directory is private to us: no link, ours (or `user`'s), and closed to everybody else. */
export async function isPrivateDirectory(path: string, user: OperatingUser | undefined): Promise<boolean> {
  const status = await lstat(path);
  return status.isDirectory() && status.uid === (user?.uid ?? process.getuid?.()) && (status.mode & 0o077) === 0;
}
