import { appendFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { SOCKET_PORT } from '../../src/store/postgres/embedded/settings.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { until } from './installation.ts';
import { TcpProxy } from './tcp_proxy.ts';

// F8, for a server on a PostgreSQL of its own: unreachable, silent, full, read only. Everything that needs it is answered
// 503 with Retry-After, `/livez` goes on, and the server recovers alone.

const UNKNOWN_TOKEN = 'A'.repeat(43);
const ANSWER_MS_MAX = 30_000;
const POOL_MAX = 4;

let database: TestDatabase;
let proxy: TcpProxy;
let server: Part<ServerReady>;
let address: string;

beforeAll(async () => {
  database = await createTestDatabase();
  const { socketDirectory, user, password, database: name } = database.connection;
  proxy = await TcpProxy.open({ path: join(socketDirectory, `.s.PGSQL.${SOCKET_PORT}`) });
  const root = await makeScratchDirectory('serve');
  const port = await freePort();
  address = `http://localhost:${port}`;
  const key = join(root, 'root.key');
  await writeFile(key, Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
  const config = join(root, 'countersign.yaml');
  const url = `postgres://${user}:${password}@127.0.0.1:${proxy.port}/${name}`;
  await writeFile(
    config,
    [
      `issuer: ${address}`,
      `database: { url: '${url}', pool_max: ${POOL_MAX}, durability: assumed }`,
      `root_key_file: ${key}`,
    ].join('\n'),
  );
  const onError = (text: string) => appendFileSync(join(root, 'server.log'), text);
  server = await startPart<ServerReady>(['serve', '--config', config, '--port', String(port)], { onError });
}, 90_000);
afterAll(async () => {
  await proxy?.close();
  await server?.stop();
  await database?.drop();
}, 60_000);

async function ask(path: string, init: RequestInit = {}) {
  const startedAt = performance.now();
  const response = await fetch(`${address}${path}`, init);
  await response.text();
  const retryAfter = response.headers.get('retry-after');
  return { path, status: response.status, retryAfter, ms: performance.now() - startedAt };
}

const requests = [
  () => ask(`/link/${UNKNOWN_TOKEN}`),
  () => ask('/agents', { headers: { cookie: `__Host-countersign=${UNKNOWN_TOKEN}` } }),
  () =>
    ask('/token', {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'refresh_token', client_id: 'editor', refresh_token: UNKNOWN_TOKEN }),
    }),
];

async function expectOutage(): Promise<void> {
  const [livez, readyz, ...others] = await Promise.all([
    ask('/livez'),
    ask('/readyz'),
    ...requests.map((one) => one()),
  ]);
  expect(livez.status).toBe(200);
  expect(readyz.status).toBe(503);
  for (const answer of others) {
    expect(answer).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) });
    expect(answer.ms).toBeLessThan(ANSWER_MS_MAX);
  }
}

async function expectRecovery(): Promise<void> {
  await until(
    'the server is ready again',
    async () => ((await ask('/readyz')).status === 200 ? true : undefined),
    30_000,
  );
  expect((await ask(`/link/${UNKNOWN_TOKEN}`)).status).toBe(404);
}

test('PostgreSQL cannot be reached', async () => {
  proxy.refuse();
  proxy.cut();
  await expectOutage();
  proxy.heal();
  await expectRecovery();
}, 90_000);

test('PostgreSQL says nothing', async () => {
  proxy.mute();
  await expectOutage();
  proxy.heal();
  await expectRecovery();
}, 90_000);

test('PostgreSQL ends every connection, as when it is restarted', async () => {
  for (let round = 0; round < 3; round += 1) {
    await database.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name like 'countersign%' and pid <> pg_backend_pid()
         and usename = current_user`,
    );
    await expectRecovery();
  }
}, 90_000);

test('more connections are wanted than there are: the answer is 503 in time, and then all is well', async () => {
  // A lock that every look at a link waits for, until the limit on locks ends the wait.
  await database.db.transaction().execute(async (tx) => {
    await sql`lock table links in access exclusive mode`.execute(tx);
    const answers = await Promise.all(Array.from({ length: POOL_MAX * 4 }, () => ask(`/link/${UNKNOWN_TOKEN}`)));
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) });
      expect(answer.ms).toBeLessThan(ANSWER_MS_MAX);
    }
    expect((await ask('/livez')).status).toBe(200);
  });
  await expectRecovery();
}, 90_000);
