import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import { textOf } from '../../examples/demo/scripted_person.ts';
import { becomeOperator, type ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { recordedPostmaster } from '../../src/store/postgres/embedded/postmaster.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { isPlainFailure, processesNaming, runCommand } from './run_command.ts';

let folder: string;
let dataDirectory: string;
let port: string;
const started: Part<ServerReady>[] = [];

beforeAll(async () => {
  folder = await makeScratchDirectory('dev');
  dataDirectory = join(folder, 'data');
  port = String(await freePort());
});
afterAll(() => Promise.all(started.map((part) => part.stop())));

async function start(...more: string[]): Promise<Part<ServerReady>> {
  const part = await startPart<ServerReady>(['dev', '--port', port, '--data-dir', dataDirectory, ...more], {
    cwd: folder,
  });
  started.push(part);
  return part;
}

const jwks = async (issuer: string) => (await (await fetch(`${issuer}/jwks`)).json()) as { keys: object[] };

describe('one data directory through its starts', () => {
  let first: Part<ServerReady>;
  let keys: { keys: object[] };

  test('the first start prints one line: issuer, console, a set-up link and how to verify the log', async () => {
    const lines: string[] = [];
    first = await start();
    first.process.stdout?.on('data', (text: string) => lines.push(text));
    const issuer = `http://localhost:${port}`;
    expect(first.ready).toMatchObject({ issuer, console: `${issuer}/`, sign_in_link: null, pid: first.process.pid });
    expect(first.ready.set_up_link).toMatch(new RegExp(`^${issuer}/link/[A-Za-z0-9_-]{22,}$`));
    expect(first.ready.verifier_key).toMatch(/^\S+\+[0-9a-f]{8}\+\S+$/);
    keys = await jwks(issuer);
    expect(keys.keys.length).toBeGreaterThan(0);
    expect((await fetch(`${issuer}/readyz`)).status).toBe(200);
    await becomeOperator(first.ready, 'Grace');
    expect(lines).toEqual([]);
  }, 60_000);

  test('a second server on the same data is refused, names the first, and leaves it alone', async () => {
    const other = String(await freePort());
    const second = await runCommand(['dev', '--port', other, '--data-dir', dataDirectory], { cwd: folder });
    expect(second).toSatisfy(isPlainFailure);
    expect(second.errors).toContain(`in use by the server with process id ${first.process.pid}`);
    expect(second.errors).toContain('--data-dir');
    expect((await fetch(`${first.ready.issuer}/readyz`)).status).toBe(200);
  }, 60_000);

  test('SIGTERM ends it with code 0 and leaves no process', async () => {
    expect(await first.stop()).toBe(0);
    expect(recordedPostmaster(join(dataDirectory, 'postgres', 'cluster'))).toBeUndefined();
    expect(processesNaming(dataDirectory)).toEqual([]);
  }, 60_000);

  test('a second start finds the same people and keys and makes no set-up link', async () => {
    const second = await start();
    expect(second.ready.set_up_link).toBeNull();
    expect(await jwks(second.ready.issuer)).toEqual(keys);
    expect(second.ready.verifier_key).toBe(first.ready.verifier_key);
    expect(second.ready.sign_in_link).not.toBeNull();
    const page = await (await fetch(second.ready.sign_in_link!)).text();
    expect(textOf(page)).toContain('Grace');
    expect(await second.stop()).toBe(0);
  }, 60_000);
});

describe('starts that are refused', () => {
  const refused = async (...args: string[]) => {
    const ended = await runCommand(['dev', '--data-dir', dataDirectory, ...args], { cwd: folder });
    expect(ended, ended.errors).toSatisfy(isPlainFailure);
    return ended.errors;
  };

  test('a port in use: it says which, and leaves no database running', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const taken = (holder.address() as { port: number }).port;
    const errors = await refused('--port', String(taken)).finally(() => holder.close());
    expect(errors).toContain(`Port ${taken} on 127.0.0.1 is in use`);
    expect(errors).toContain('--port');
    expect(recordedPostmaster(join(dataDirectory, 'postgres', 'cluster'))).toBeUndefined();
  }, 60_000);

  test('an unknown configuration key: it names the nearest', async () => {
    const file = join(folder, 'misspelt.yaml');
    await writeFile(file, 'issuer: http://localhost:9400\nlisten: { prot: 9400 }\n');
    const errors = await refused('--config', file);
    expect(errors).toContain('There is no key "listen.prot". The nearest is "listen.port".');
    expect(errors).toContain(file);
  });

  test('a broken policy: it says in which file and line (F17)', async () => {
    const policies = join(folder, 'policies');
    await mkdir(policies);
    await writeFile(join(policies, 'broken.cedar'), '// A comment.\n\npermit (principal, action resource);\n');
    expect(await refused('--port', port, '--policies', policies)).toMatch(/broken\.cedar:3\b/);
  }, 60_000);

  test('no policies at all: nothing would be decided, so nothing starts (F17)', async () => {
    const policies = join(folder, 'no-policies');
    await mkdir(policies);
    expect(await refused('--port', port, '--policies', policies)).toContain(policies);
  }, 60_000);

  test.each([
    ['a port that is none', ['--port', '70000'], 'A port is a number from 0 to 65535.'],
    ['a configuration that is not there', ['--config', 'missing.yaml'], 'There is no configuration file missing.yaml.'],
    ['a data directory that is a file', ['--data-dir', 'file'], 'A file is in the way.'],
    ['an option that is none', ['--prot', '9400'], "unknown option '--prot'"],
  ])('%s', async (_, args, message) => {
    await writeFile(join(folder, 'file'), '');
    expect(await refused(...args)).toContain(message);
  });
});
