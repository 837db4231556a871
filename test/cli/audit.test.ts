import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { startPart } from '../../examples/demo/parts.ts';
import { becomeOperator, type ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { isPlainFailure, runCommand } from './run_command.ts';

let folder: string;
let file: string;
let key: string;
let text: string;

beforeAll(async () => {
  folder = await makeScratchDirectory('audit');
  file = join(folder, 'audit.jsonl');
  const port = String(await freePort());
  const server = await startPart<ServerReady>(['dev', '--port', port, '--data-dir', 'data'], { cwd: folder });
  await becomeOperator(server.ready, 'Ada');
  key = server.ready.verifier_key;
  await server.stop();
  // Without the server's configuration: who exports need not know which address it had.
  const exported = await runCommand(['audit', 'export', '--data-dir', 'data'], { cwd: folder });
  expect(exported.errors).toBe('');
  text = exported.output;
  await writeFile(file, text);
}, 90_000);

const verify = (path: string, ...more: string[]) => runCommand(['audit', 'verify', path, '--key', key, ...more]);

test('an untouched export verifies, offline', async () => {
  const ended = await verify(file);
  expect([ended.code, ended.errors]).toEqual([0, '']);
  expect(ended.output).toMatch(/^\d+ events and \d+ checkpoints verify\. Root \S+\.$/m);
  expect(text).toContain('person.created');
});

describe('an export that was changed does not', () => {
  test.each<[string, (lines: string[]) => string[]]>([
    ['one letter of an event', (lines) => lines.map((line) => line.replace('person.created', 'person.creatod'))],
    ['an event removed', (lines) => lines.toSpliced(2, 1)],
    ['two events swapped', ([head = '', first = '', second = '', ...rest]) => [head, second, first, ...rest]],
    ['every checkpoint removed', (lines) => lines.filter((line) => !line.startsWith('{"checkpoint"'))],
  ])('%s', async (what, change) => {
    const changed = change(text.trimEnd().split('\n')).join('\n');
    expect(changed).not.toBe(text.trimEnd());
    const path = join(folder, `${what.replaceAll(' ', '-')}.jsonl`);
    await writeFile(path, `${changed}\n`);
    const ended = await verify(path);
    expect(ended).toSatisfy(isPlainFailure);
    expect(ended.errors).toContain('The log does not verify');
  });

  test('the newest events cut off, where a checkpoint was kept', async () => {
    const notes = text.split('\n').filter((line) => line.startsWith('{"checkpoint"'));
    const kept = join(folder, 'kept.note');
    await writeFile(kept, (JSON.parse(notes.at(-1)!) as { checkpoint: string }).checkpoint);
    expect((await verify(file, '--checkpoint', kept)).code).toBe(0);
    const lines = text.trimEnd().split('\n');
    const cut = lines.slice(0, lines.indexOf(notes[0]!) + 1);
    const header = JSON.parse(cut[0]!) as { size: number };
    header.size = cut.length - 2;
    const path = join(folder, 'cut.jsonl');
    await writeFile(path, [JSON.stringify(header), ...cut.slice(1), ''].join('\n'));
    expect(await verify(path, '--checkpoint', kept)).toSatisfy(isPlainFailure);
  });
});

test.each<[string, () => string[], string]>([
  [
    'a file that is not there',
    () => ['verify', 'nothing.jsonl', '--key', key],
    'The export nothing.jsonl cannot be read',
  ],
  ['a key that is none', () => ['verify', file, '--key', 'key'], 'The key cannot be used'],
  [
    'a checkpoint that is not there',
    () => ['verify', file, '--key', key, '--checkpoint', 'no.note'],
    'no.note cannot be read',
  ],
  ['a data directory without data', () => ['export', '--data-dir', 'nowhere'], "There is no server's data in nowhere"],
])('%s is refused in words', async (_, args, message) => {
  const ended = await runCommand(['audit', ...args()], { cwd: folder });
  expect(ended.errors).toContain(message);
  expect(ended).toSatisfy(isPlainFailure);
  await expect(readFile(join(folder, 'nowhere'))).rejects.toThrow('ENOENT');
});
