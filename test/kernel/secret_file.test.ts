import { chmod, chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSecretFile } from '../../src/kernel/secret_file.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

const SOMEBODY = 12_345;
const isRoot = process.getuid?.() === 0;

async function file(mode: number, uid?: number): Promise<string> {
  const path = join(await makeScratchDirectory('secret'), 'secret');
  await writeFile(path, 'text\n');
  if (uid !== undefined) await chown(path, uid, uid);
  await chmod(path, mode);
  return path;
}

test.each([0o400, 0o600, 0o700])('a file of mode %o is read as it is', async (mode) => {
  expect(await readSecretFile(await file(mode))).toEqual({ ok: true, value: 'text\n' });
});

test.each([0o604, 0o602, 0o644, 0o660])('a file of mode %o is refused, with the command that helps', async (mode) => {
  const path = await file(mode);
  const message = `Others can read the file ${path}. Run: chmod 600 ${path}`;
  expect(await readSecretFile(path)).toEqual({ ok: false, refusal: { kind: 'exposed', message } });
});

test.runIf(isRoot)('the group may read what root owns, and nothing else', async () => {
  expect(await readSecretFile(await file(0o440, 0))).toMatchObject({ ok: true });
  expect(await readSecretFile(await file(0o440, SOMEBODY))).toMatchObject({ ok: false, refusal: { kind: 'exposed' } });
});

test('a missing file is named', async () => {
  expect(await readSecretFile('/nowhere/secret')).toEqual({
    ok: false,
    refusal: { kind: 'unreadable', message: 'The file /nowhere/secret cannot be read (ENOENT).' },
  });
});
