import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CHUNK = Buffer.alloc(64 * 1024, 1);

/** A small disk of its own: a tmpfs, so that filling it harms nobody. */
export interface SmallDisk {
  readonly directory: string;
  /** Takes every byte that is left. */
  fill(): void;
  /** Gives back what `fill` took. */
  empty(): void;
  remove(): void;
}

/** Outside of the run's directory, which could not be removed while something is mounted in it. */
export function mountSmallDisk(megabytes: number): SmallDisk {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0755`, 'tmpfs', directory], { stdio: 'pipe' });
  } catch (error) {
    rmSync(directory, { recursive: true });
    const why = (error as { stderr?: Buffer }).stderr?.toString().trim() ?? String(error);
    throw new Error(
      'Testing a full disk needs a small file system of its own, and mounting a tmpfs is not permitted here ' +
        `(${why}). Run the tests as root, in a container with --cap-add SYS_ADMIN, or in: unshare --mount`,
    );
  }
  const filler = join(directory, 'filler');
  let isMounted = true;
  const remove = () => {
    if (!isMounted) return;
    isMounted = false;
    // Lazily: what still runs there after a failed test must not keep the mount.
    execFileSync('umount', ['-l', directory]);
    rmSync(directory, { recursive: true });
  };
  process.once('exit', remove);
  return { directory, fill: () => fill(filler), empty: () => rmSync(filler, { force: true }), remove };
}

function fill(path: string): void {
  const file = openSync(path, 'a');
  try {
    for (;;) writeSync(file, CHUNK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}
