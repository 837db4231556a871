import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { freePort } from '../../src/cli/free_port.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { isPlainFailure, processesNaming, runCommand } from './run_command.ts';

const LEDGER_SERVER = fileURLToPath(new URL('../fixtures/ledger_server.ts', import.meta.url));

let folder: string;
let program: string[];
let nobody: string;

beforeAll(async () => {
  folder = await makeScratchDirectory('gateway');
  program = ['--', process.execPath, LEDGER_SERVER, join(folder, 'ledger')];
  nobody = `http://localhost:${await freePort()}`;
});

const gateway = (...args: string[]) =>
  runCommand(['gateway', '--issuer', nobody, '--port', '0', ...args], { cwd: folder });

test.each<[string, () => string[], string]>([
  ['no MCP server named', () => ['--name', 'x'], 'Say which MCP server to put behind the gateway'],
  ['an unknown program', () => ['--name', 'x', '--', 'no-such-program'], '"no-such-program", is not in PATH'],
  ['a program and an address', () => ['--name', 'x', '--url', 'http://localhost:1', ...program], 'not both'],
  ['an address that is none', () => ['--name', 'x', '--url', 'here'], 'here, is not a URL'],
  ['a header that is none', () => ['--name', 'x', '--url', 'http://localhost:1', '--header', 'x'], '"x" is no header'],
  ['an unknown class', () => ['--name', 'x', '--risk', 'low=*', ...program], '--risk "low=*" names no class'],
  ['a class without tools', () => ['--name', 'x', '--risk', 'read', ...program], '--risk "read" names no class'],
  [
    'a class for a tool that is not there',
    () => ['--name', 'x', '--risk', 'read=append,read_*', ...program],
    'The server lists no tool "read_*". It lists: append, append_slowly.',
  ],
  ['a name that is none', () => ['--name', 'X Y', ...program], 'The name "X Y" must be'],
  ['a folder that is not there', () => ['--name', 'x', '--cwd', 'nowhere', ...program], 'nowhere, is not a directory'],
  ['a key file that holds no key', () => ['--name', 'x', '--key-file', 'no.key', ...program], 'no.key is not JSON'],
])(
  '%s is refused in words',
  async (_, args, message) => {
    await writeFile(join(folder, 'no.key'), 'nonsense');
    const ended = await gateway(...args());
    expect(ended.errors).toContain(message);
    expect(ended).toSatisfy(isPlainFailure);
    expect(processesNaming(join(folder, 'ledger'))).toEqual([]);
  },
  60_000,
);

test('a port in use is refused, and the MCP server does not stay behind', async () => {
  const { createServer } = await import('node:net');
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const taken = String((holder.address() as { port: number }).port);
  const ended = await gateway('--name', 'x', '--port', taken, ...program).finally(() => holder.close());
  expect(ended.errors).toContain(`Port ${taken} on 127.0.0.1 is in use`);
  expect(ended).toSatisfy(isPlainFailure);
  expect(processesNaming(join(folder, 'ledger'))).toEqual([]);
}, 60_000);

test('an issuer that does not answer: it says so, goes on trying, and still ends on the first SIGTERM', async () => {
  const ended = await runCommand(['gateway', '--issuer', nobody, '--port', '0', '--name', 'x', ...program], {
    cwd: folder,
    endAfter: /has not answered yet/,
  });
  expect(ended.errors).toContain(`The server ${nobody} has not answered yet.`);
  expect([ended.code, ended.output]).toEqual([0, '']);
  expect(processesNaming(join(folder, 'ledger'))).toEqual([]);
}, 60_000);
