import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isPlainFailure, runCommand } from './run_command.ts';

test('--help lists every command and shows how to start', async () => {
  const { code, output } = await runCommand(['--help']);
  expect(code).toBe(0);
  for (const command of ['dev', 'serve', 'migrate', 'keys', 'gateway', 'audit'])
    expect(output).toMatch(new RegExp(`^  ${command} `, 'm'));
  expect(output).toContain('countersign gateway --issuer http://localhost:9400 --name files -- npx');
});

test.each([
  [['dev'], ['--port', '--data-dir', '--single-operator', '--config', '--policies', '--json', 'Example']],
  [['gateway'], ['--issuer', '--name', '--port', '--url', '--risk', '--key-file', '--json', 'Example']],
  [
    ['audit', 'verify'],
    ['--key', '--checkpoint', '<file>', 'Example'],
  ],
  [
    ['audit', 'export'],
    ['--data-dir', 'Example'],
  ],
])('%s --help names its options and shows an example', async (command, words) => {
  const { code, output } = await runCommand([...command, '--help']);
  expect(code).toBe(0);
  for (const word of words) expect(output).toContain(word);
});

test('an unknown command is refused, with the nearest known one', async () => {
  const ended = await runCommand(['gatway']);
  expect(ended).toSatisfy(isPlainFailure);
  expect(ended.errors).toContain('gateway');
});

test('--version prints the version of the package', async () => {
  const { code, output } = await runCommand(['--version']);
  expect(code).toBe(0);
  expect(output.trim()).toBe(JSON.parse(readFileSync('package.json', 'utf8')).version);
});
