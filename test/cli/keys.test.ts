import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { createVault } from '../../src/kernel/vault.ts';
import { REWRAP_ROWS_MAX } from '../../src/keys/limits.ts';
import type { ListedKey } from '../../src/keys/list.ts';
import { createPostgresArtifactStore } from '../../src/store/postgres/artifacts.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { writeServeConfig } from '../support/serve_config.ts';
import { isPlainFailure, runCommand } from './run_command.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let folder: string;
let config: string;
let database: TestDatabase;
let server: Part<ServerReady>;

beforeAll(async () => {
  folder = await makeScratchDirectory('keys');
  database = await createTestDatabase();
  const issuerPort = await freePort();
  config = await writeServeConfig(folder, {
    issuerPort,
    connection: database.connection,
    more: ['keys: { publish_seconds: 600 }'],
  });
  server = await startPart<ServerReady>(['serve', '--config', config, '--port', String(issuerPort)]);
});
afterAll(async () => {
  await server?.stop();
  await database.drop();
});

const keys = (...args: string[]) => runCommand(['keys', ...args, '--config', config]);
const list = async () => JSON.parse((await keys('list', '--json')).output) as ListedKey[];
const published = async () => {
  const { keys } = (await (await fetch(`${server.ready.issuer}/jwks`)).json()) as { keys: { kid: string }[] };
  return keys.map((key) => key.kid);
};

describe('on a running installation', () => {
  test('a rotation shows in the table, and the server publishes the new keys without a restart', async () => {
    const before = await published();
    const ended = await keys('rotate');
    expect(ended.errors).toBe('');
    expect(ended.output).toMatch(/^token: \S+ is published and signs from \S+\.\nlease: .*\ncookie: .*\n$/);
    const { output } = await keys('list');
    expect(output.split('\n')[0]).toMatch(/^kid +purpose +state +since +until$/);
    expect(output).toMatch(/token +published/);
    expect(output).toMatch(/checkpoint +signing/);
    await expect.poll(published, { timeout: 10_000 }).toHaveLength(before.length + 2);
    expect((await keys('rotate', 'token')).output).toContain('under way');
  });

  test('a key that leaked is gone at once', async () => {
    const leaked = (await list()).find((key) => key.purpose === 'token' && key.state === 'signing')!;
    expect(await published()).toContain(leaked.kid);
    const ended = await keys('retire', leaked.kid, '--now');
    expect(ended.output).toMatch(/verifies nothing from now on\. \S+ signs from/);
    await expect.poll(published, { timeout: 10_000 }).not.toContain(leaked.kid);
    expect((await list()).find((key) => key.kid === leaked.kid)).toMatchObject({ state: 'revoked' });
  });

  test('the key of checkpoints changes when it is named, and both verifier keys verify the log', async () => {
    const before = server.ready.verifier_key;
    const rotated = await keys('rotate', 'checkpoint');
    const next = /hand out: (\S+)$/m.exec(rotated.output)![1]!;
    const file = join(folder, 'audit.jsonl');
    await writeFile(file, (await runCommand(['audit', 'export', '--config', config])).output);
    const first = await runCommand(['audit', 'verify', file, '--key', before]);
    expect(first.output).toContain(`the log announces, for --key: ${next}`);
    expect((await runCommand(['audit', 'verify', file, '--key', next])).code).toBe(0);
    expect((await runCommand(['audit', 'verify', file, '--key', next, '--key', before])).code).toBe(0);
  });

  test('what cannot be says what to do', async () => {
    const purpose = await keys('rotate', 'door');
    expect(purpose).toSatisfy(isPlainFailure);
    expect(purpose.errors).toContain('token, lease, cookie, checkpoint');
  });

  test('the root key changes while it runs: nothing is left, and the old one can go', async () => {
    const rootKey = join(folder, 'new.key');
    await writeFile(rootKey, randomBytes(32).toString('base64'), { mode: 0o600 });
    const environment = {
      COUNTERSIGN_ROOT_KEY_FILE: rootKey,
      COUNTERSIGN_ROOT_KEY_PREVIOUS_FILE: join(folder, 'root.key'),
    };
    const wrong = await runCommand(['keys', 'rewrap', '--config', config], {
      environment: { COUNTERSIGN_ROOT_KEY_FILE: rootKey },
    });
    expect(wrong.output).toContain('open with neither root key');
    expect(wrong.code).toBe(1);
    await killRewrapInTheMiddle(environment);
    const ended = await runCommand(['keys', 'rewrap', '--config', config], { environment });
    expect(ended.output).toMatch(/^keys\.private_sealed: \d+ sealed anew\.$/m);
    expect(ended.output).toContain('root_key_previous_file can go');
    expect(ended.output).not.toContain('artifacts.payload_sealed: 0 sealed anew');
    const again = await runCommand(['keys', 'rewrap', '--config', config], { environment });
    expect(again.output).toContain('keys.private_sealed: 0 sealed anew.');
  });
});

/** More artifacts than one batch holds; the second batch waits for a lock, and there the process is killed. */
async function killRewrapInTheMiddle(environment: Readonly<Record<string, string>>): Promise<void> {
  const vault = createVault(Buffer.from(await readFile(join(folder, 'root.key'), 'utf8'), 'base64'));
  const artifacts = createPostgresArtifactStore({ db: database.db, vault });
  const count = REWRAP_ROWS_MAX + 50;
  const save = (_: unknown, at: number) =>
    artifacts.save('RefreshToken', `token-${at}`, { payload: {} } as never, 3600);
  await Promise.all(Array.from({ length: count }, save));
  const left = async () => {
    const { rows } = await database.pool.query<{ left: number }>(
      `select count(*)::integer as left from artifacts where kind = 'RefreshToken' and substring(payload_sealed from 1 for 5) = $1`,
      [vault.sealedPrefix],
    );
    return rows[0]!.left;
  };
  expect(await left()).toBe(count);
  const client = await database.pool.connect();
  try {
    await client.query('begin');
    await client.query("select 1 from artifacts where kind = 'RefreshToken' order by id_hash desc limit 1 for update");
    const child = spawn(process.execPath, [COMMAND, 'keys', 'rewrap', '--config', config], {
      stdio: 'ignore',
      env: { ...process.env, ...environment },
    });
    const exited = once(child, 'exit');
    await expect.poll(left, { timeout: 60_000, interval: 50 }).toBeLessThan(count);
    child.kill('SIGKILL');
    expect(await exited).toEqual([null, 'SIGKILL']);
    // PostgreSQL notices only when it wants to answer, and would finish the batch first.
    await client.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
  } finally {
    await client.query('rollback');
    client.release();
  }
  expect(await left()).toBeGreaterThan(0);
}

test('in the data directory: refused with words while its server runs, and done once it is stopped', async () => {
  const port = String(await freePort());
  const dev = await startPart<ServerReady>(['dev', '--port', port, '--data-dir', 'data'], { cwd: folder });
  const rotate = () => runCommand(['keys', 'rotate', 'token', '--data-dir', 'data'], { cwd: folder });
  try {
    const refused = await rotate();
    expect(refused).toSatisfy(isPlainFailure);
    expect(refused.errors).toMatch(/Stop the server, run this command again, and start it/);
  } finally {
    await dev.stop();
  }
  expect((await rotate()).output).toContain('is published');
  const { output } = await runCommand(['keys', 'list', '--data-dir', 'data', '--json'], { cwd: folder });
  const states = (JSON.parse(output) as ListedKey[]).filter((key) => key.purpose === 'token').map((key) => key.state);
  expect(states).toEqual(['published', 'signing']);
});
