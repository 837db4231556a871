import { spawn } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import { becomeOperator, type ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { type ServeConfig, writeServeConfig } from '../support/serve_config.ts';
import { isPlainFailure, runCommand } from './run_command.ts';

let folder: string;
let database: TestDatabase;
let unmigrated: TestDatabase;
const started: Part<ServerReady>[] = [];

beforeAll(async () => {
  folder = await makeScratchDirectory('serve');
  database = await createTestDatabase();
  unmigrated = await createTestDatabase({ isEmpty: true });
}, 60_000);
afterAll(async () => {
  await Promise.all(started.map((part) => part.stop()));
  await database.drop();
  await unmigrated.drop();
});

const configOf = async (changes: Partial<ServeConfig> = {}) =>
  writeServeConfig(folder, { issuerPort: await freePort(), connection: database.connection, ...changes });

async function start(config: string, port: number, onError: (text: string) => void = () => {}) {
  const part = await startPart<ServerReady>(['serve', '--config', config, '--port', String(port)], { onError });
  started.push(part);
  return part;
}

describe('a start that cannot be says what to change', () => {
  test('without a database', async () => {
    const ended = await runCommand(['serve'], {
      cwd: folder,
      environment: { COUNTERSIGN_ISSUER: 'http://localhost:9' },
    });
    expect(ended).toSatisfy(isPlainFailure);
    expect(ended.errors).toMatch(/database\.url.*countersign dev/s);
  });

  test('with a password PostgreSQL does not take, at once', async () => {
    const config = await configOf({ connection: { ...database.connection, password: 'wrong' } });
    const ended = await runCommand(['serve', '--config', config]);
    expect(ended).toSatisfy(isPlainFailure);
    expect(ended.errors).toMatch(/password.*database\.url/s);
    expect(ended.errors).not.toMatch(/not there yet/);
  });

  test('with a database that nobody migrated', async () => {
    const ended = await runCommand(['serve', '--config', await configOf({ connection: unmigrated.connection })]);
    expect(ended).toSatisfy(isPlainFailure);
    expect(ended.errors).toContain('countersign migrate');
  });

  test('without its root key', async () => {
    const config = await configOf();
    const ended = await runCommand(['serve', '--config', config], {
      environment: { COUNTERSIGN_ROOT_KEY_FILE: join(folder, 'nowhere.key') },
    });
    expect(ended).toSatisfy(isPlainFailure);
    expect(ended.errors).toMatch(/nowhere\.key.*backup/s);
  });
});

describe('PostgreSQL that is not there yet', () => {
  test('is waited for, each attempt with its reason, and then served', async () => {
    const socketDirectory = await makeScratchDirectory('late');
    const config = await configOf({ socketDirectory });
    const said: string[] = [];
    const { socketDirectory: real, port } = database.connection;
    const name = `.s.PGSQL.${port}`;
    let isThere = false;
    const part = await start(config, await freePort(), (text) => {
      said.push(text);
      if (isThere || !/"attempt":2/.test(said.join(''))) return;
      isThere = true;
      void symlink(join(real, name), join(socketDirectory, name));
    });
    expect(said.join('')).toMatch(/"attempt":1,"seconds_left":\d+,"reason":"[^"]*ENOENT/);
    expect(said.join('')).toContain('PostgreSQL (database.url) is not there yet; trying again');
    expect(await part.stop()).toBe(0);
  }, 60_000);

  test('a signal calls the wait off', async () => {
    const config = await configOf({ socketDirectory: await makeScratchDirectory('never') });
    const ended = await runCommand(['serve', '--config', config], { endAfter: /not there yet/ });
    expect(ended).toMatchObject({ code: 0, output: '' });
  }, 60_000);
});

describe('the first administrator', () => {
  test('gets a link by its command, which no log holds; there is none for a second one', async () => {
    const issuerPort = await freePort();
    const config = await configOf({ issuerPort });
    const plain = await plainOutput(config, issuerPort);
    expect(plain).toMatch(/countersign set-up-link/);
    expect(plain).not.toMatch(/\/link\//);
    const made = await runCommand(['set-up-link', '--config', config]);
    expect(made).toMatchObject({ code: 0 });
    expect(made.output).toMatch(new RegExp(`^http://localhost:${issuerPort}/link/[A-Za-z0-9_-]{22,}\n$`));
    const first = await start(config, issuerPort);
    await becomeOperator({ ...first.ready, set_up_link: made.output.trim() }, 'Grace');
    expect(await first.stop()).toBe(0);
    const again = await runCommand(['set-up-link', '--config', config]);
    expect(again).toSatisfy(isPlainFailure);
    expect(again.errors).toContain('There is an administrator already');
    const second = await start(config, issuerPort);
    expect(second.ready).toMatchObject({ set_up_link: null, sign_in_link: null });
    expect(await plainOutput(config, await freePort())).not.toMatch(/link/);
  }, 90_000);
});

/** What a node prints where nobody asked for JSON, as in a unit file or a container. */
async function plainOutput(config: string, port: number): Promise<string> {
  const main = new URL('../../src/cli/main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, 'serve', '--config', config, '--port', String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (/Verifier key/.test(output)) child.kill('SIGTERM');
    });
  }
  await new Promise((resolve) => child.once('close', resolve));
  return output;
}
