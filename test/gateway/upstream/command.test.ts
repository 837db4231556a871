import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pickEnvironment, resolveCommand } from '../../../src/gateway/upstream/command.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-command-'));
  await mkdir(join(folder, 'bin'));
  await mkdir(join(folder, 'directory'));
  await writeFile(join(folder, 'bin', 'tool'), '#!/bin/sh\n');
  await chmod(join(folder, 'bin', 'tool'), 0o755);
  await writeFile(join(folder, 'plain'), 'x');
});
afterAll(() => rm(folder, { recursive: true }));

test('a name is looked up in PATH, a path against the working directory', () => {
  const tool = join(folder, 'bin', 'tool');
  expect(resolveCommand('tool', '/', `/nonexistent:${folder}/bin`)).toBe(tool);
  expect(resolveCommand('./bin/tool', folder, '')).toBe(tool);
  expect(resolveCommand(tool, '/', '')).toBe(tool);
});

test('what cannot run is refused with the reason', () => {
  // The working directory is no part of PATH, whatever an empty or relative entry says.
  expect(() => resolveCommand('tool', `${folder}/bin`, ':.:bin')).toThrow('is not in PATH');
  expect(() => resolveCommand('./plain', folder, '')).toThrow('not an executable file');
  expect(() => resolveCommand('./directory', folder, '')).toThrow('not an executable file');
  expect(() => resolveCommand('tool; rm -rf x', '/', `${folder}/bin`)).toThrow('is not in PATH');
  expect(() => resolveCommand('', '/', '')).toThrow('is empty');
});

test('only named variables and PATH are taken', () => {
  const environment = { PATH: '/bin', HOME: '/root', TOKEN: 'secret', WANTED: '' };
  expect(pickEnvironment(['WANTED'], environment)).toEqual({ PATH: '/bin', WANTED: '' });
  expect(() => pickEnvironment(['MISSING'], environment)).toThrow('MISSING, which is not set');
});
