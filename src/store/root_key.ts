import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { readSecretFile } from '../kernel/secret_file.ts';

const ROOT_KEY_BYTES = 32;
const ENVIRONMENT_NAME = 'COUNTERSIGN_ROOT_KEY';
const PREVIOUS_ENVIRONMENT_NAME = 'COUNTERSIGN_ROOT_KEY_PREVIOUS';

/** The root key cannot be used; the message says where it is looked for and what to do. */
export class RootKeyError extends Error {
  override name = 'RootKeyError';
}

/**
 * The key everything at rest is encrypted under: from `key` (base64) if given, else from the file, which is made with
 * mode 0600 if it is missing and `mayCreate`. A file others can read is refused.
 */
export async function loadRootKey(options: {
  readonly path: string;
  readonly mayCreate: boolean;
  readonly key?: string | undefined;
}): Promise<Buffer> {
  if (options.key !== undefined) return decode(options.key, ENVIRONMENT_NAME);
  if (options.mayCreate) await createIfMissing(options.path);
  return readKeyFile(options.path, 'root key');
}

/** The root key before that, while what it sealed is sealed anew; undefined if there is none. */
export async function loadPreviousRootKey(options: {
  readonly path: string | null;
  readonly key?: string | undefined;
}): Promise<Buffer | undefined> {
  if (options.key !== undefined) return decode(options.key, PREVIOUS_ENVIRONMENT_NAME);
  return options.path === null ? undefined : readKeyFile(options.path, 'previous root key');
}

async function readKeyFile(path: string, name: string): Promise<Buffer> {
  const read = await readSecretFile(path);
  if (read.ok) return decode(read.value, path);
  const advice = ' Restore it from your backup: without it nothing stored can be decrypted.';
  throw new RootKeyError(`The ${name}: ${read.refusal.message}${read.refusal.kind === 'exposed' ? '' : advice}`);
}

async function createIfMissing(path: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(`${randomBytes(ROOT_KEY_BYTES).toString('base64')}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function decode(text: string, place: string): Buffer {
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length !== ROOT_KEY_BYTES) {
    throw new RootKeyError(
      `The root key in ${place} must be ${ROOT_KEY_BYTES} bytes in base64. Make one: openssl rand -base64 32`,
    );
  }
  return key;
}
