import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import {
  acceptToolServer,
  becomeOperator,
  type GatewayReady,
  registerAgent,
  type ServerReady,
} from '../../examples/demo/set_up.ts';
import type { ServiceAgent } from '../../src/agent/index.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { writeServeConfig } from '../support/serve_config.ts';
import { until } from './installation.ts';
import { TcpProxy } from './tcp_proxy.ts';

// F10: the clocks of nodes differ from PostgreSQL's by ten minutes, and one is set while it serves. PostgreSQL's decides.

const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const LEDGER_SERVER = fileURLToPath(new URL('../fixtures/ledger_server.ts', import.meta.url));
const SHIFT = new URL('shifted_clock.mjs', import.meta.url).href;
const TEN_MINUTES_MS = 600_000;

interface Node {
  readonly port: number;
  readonly child: ChildProcess;
  readonly ready: ServerReady;
  setClock(offMs: number): void;
  errors(): string;
}

let root: string;
let database: TestDatabase;
let issuer: TcpProxy;
let agent: ServiceAgent;
let gateway: Part<GatewayReady>;
let good: Node;
const nodes: Node[] = [];

beforeAll(async () => {
  root = await makeScratchDirectory('clock-skew');
  database = await createTestDatabase();
  issuer = await TcpProxy.open({ port: await freePort() });
  good = await startNode('good', 0);
  issuer.forwardTo({ port: good.port });
  const operator = await becomeOperator(good.ready, 'Operator');
  agent = await registerAgent(operator, `http://localhost:${issuer.port}`);
  gateway = await startPart<GatewayReady>([
    ...[
      'gateway',
      '--issuer',
      `http://localhost:${issuer.port}`,
      '--name',
      'ledger',
      '--port',
      String(await freePort()),
    ],
    ...['--key-file', join(root, 'gateway.key.json'), '--risk', 'write=*'],
    ...['--', process.execPath, LEDGER_SERVER, join(root, 'ledger')],
  ]);
  await acceptToolServer(operator, gateway.ready);
}, 90_000);
afterAll(async () => {
  await gateway?.stop();
  for (const { child } of nodes) {
    const exited = once(child, 'exit');
    if (child.exitCode === null && child.kill('SIGTERM')) await exited;
  }
  await issuer.close();
  await database.drop();
});

async function startNode(name: string, offMs: number): Promise<Node> {
  const port = await freePort();
  const config = await writeServeConfig(root, { issuerPort: issuer.port, connection: database.connection });
  const file = join(root, `${name}.clock`);
  const setClock = (ms: number) => writeFileSync(file, String(ms));
  setClock(offMs);
  const args = ['--import', SHIFT, COMMAND, 'serve', '--json', '--config', config, '--port', String(port)];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, SHIFTED_CLOCK_FILE: file },
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const line = await until(`${name} is started: ${errors}`, () => (output.includes('\n') ? output : undefined), 60_000);
  const node = { port, child, ready: JSON.parse(line) as ServerReady, setClock, errors: () => errors };
  nodes.push(node);
  return node;
}

async function readiness({ port }: Node) {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
  return { ...((await answer.json()) as { reason?: string; detail?: string }), status: answer.status };
}

/** Asks this very node for something that its clock would decide. */
async function ask({ port }: Node, path = '/.well-known/oauth-authorization-server') {
  const proxy = await TcpProxy.open({ port });
  const answer = await fetch(`http://127.0.0.1:${proxy.port}${path}`, {
    headers: { host: `localhost:${issuer.port}` },
  });
  const body = (await answer.json()) as Record<string, unknown>;
  await proxy.close();
  return { status: answer.status, retryAfter: answer.headers.get('retry-after'), body };
}

describe.each([
  ['ahead', TEN_MINUTES_MS],
  ['behind', -TEN_MINUTES_MS],
])('F10: a node whose clock is ten minutes %s', (direction, offMs) => {
  test('serves nobody and says why; probes and the others go on; with its clock corrected it serves', async () => {
    const node = await startNode(direction, offMs);
    expect(await readiness(node)).toMatchObject({ status: 503, reason: 'clock' });
    expect((await readiness(node)).detail).toContain(`600 s ${direction}`);
    expect(await ask(node)).toMatchObject({
      status: 503,
      retryAfter: expect.stringMatching(/^\d+$/),
      body: { error: 'unavailable', error_description: expect.stringContaining(`600 s ${direction}`) },
    });
    expect((await fetch(`http://127.0.0.1:${node.port}/livez`)).status).toBe(200);
    expect(node.errors()).toMatch(/"clock_offset_s":-?(600|599\.\d).*it serves nobody/);
    expect(await readiness(good)).toMatchObject({ status: 200 });
    node.setClock(0);
    await until('it is ready', async () => ((await readiness(node)).status === 200 ? true : undefined));
  }, 90_000);
});

test('F10: a clock that is set while its node serves extends nothing', async () => {
  const node = await startNode('stepping', 0);
  issuer.cut();
  issuer.forwardTo({ port: node.port });
  const { resource } = gateway.ready;
  const { taskId } = await agent.startTask({ resource, tools: ['append'], purpose: 'Keep the ledger', seconds: 60 });
  const task = async () =>
    database.db.selectFrom('tasks').select('expires_at').where('id', '=', taskId).executeTakeFirstOrThrow();
  // A new provider each time: none hands out a token that it had before.
  const newToken = () => agent.authProvider(taskId, resource).token();
  const before = await task();
  const { iat, exp } = decodeJwt(await newToken());
  expect(exp! * 1000).toBeLessThanOrEqual(before.expires_at.getTime() + 1_000);
  expect(Math.abs(iat! * 1000 - Date.now())).toBeLessThan(10_000);
  for (const ms of [-TEN_MINUTES_MS, TEN_MINUTES_MS]) {
    node.setClock(ms);
    // Not after the next measure: in the very next request, once the file with the time was read again.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await ask(node)).toMatchObject({ status: 503 });
    await expect(newToken()).rejects.toThrow();
  }
  expect((await task()).expires_at).toEqual(before.expires_at);
  node.setClock(0);
  await until('it is ready', async () => ((await readiness(node)).status === 200 ? true : undefined));
  expect(decodeJwt(await newToken()).exp! * 1000).toBeLessThanOrEqual(before.expires_at.getTime() + 1_000);
}, 90_000);
