import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import {
  acceptToolServer,
  becomeOperator,
  type GatewayReady,
  registerAgent,
  type ServerReady,
} from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { REGISTRATION_PATH } from '../../src/wire/guard_api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { writeServeConfig } from '../support/serve_config.ts';
import { drip, type Ended, openRaw, pour, type RawClient } from './raw_client.ts';

const LEDGER_SERVER = fileURLToPath(new URL('../fixtures/ledger_server.ts', import.meta.url));
const MEBIBYTE = 1_048_576;
/** Far fewer than there are slow bodies: each that held a place would keep a healthy request out. */
const REQUESTS_MAX = 8;
const CONNECTIONS_MAX = 1_500;
const IDLE_SOCKETS = 2_200;
const IDLE_BATCH = 100;
const SLOW_EACH = 60;
/** Ten seconds are promised; this machine may be busy with other things. */
const CLOSED_MS_MAX = 20_000;

let root: string;
let database: TestDatabase;
let port: number;
let server: Part<ServerReady>;
let gateway: Part<GatewayReady>;
let token: string;

beforeAll(async () => {
  root = await makeScratchDirectory('slow-clients');
  database = await createTestDatabase();
  port = await freePort();
  const more = [`overload: { requests_max: ${REQUESTS_MAX}, connections_max: ${CONNECTIONS_MAX} }`];
  const config = await writeServeConfig(root, { issuerPort: port, connection: database.connection, more });
  server = await startPart<ServerReady>(['serve', '--config', config, '--port', String(port)]);
  gateway = await startPart<GatewayReady>([
    ...['gateway', '--issuer', server.ready.issuer, '--name', 'ledger', '--port', String(await freePort())],
    ...['--key-file', join(root, 'gateway.key.json'), '--risk', 'write=*'],
    ...['--', process.execPath, LEDGER_SERVER, join(root, 'ledger')],
  ]);
  const operator = await becomeOperator(server.ready, 'Operator');
  await acceptToolServer(operator, gateway.ready);
  const agent = await registerAgent(operator, server.ready.issuer);
  const { resource } = gateway.ready;
  const { taskId } = await agent.startTask({ resource, tools: ['append'], purpose: 'Keep the ledger' });
  token = await agent.authProvider(taskId, resource).token();
}, 120_000);
afterAll(async () => {
  await gateway?.stop();
  await server?.stop();
  await database.drop();
});

const residentMebibytes = (part: Part<unknown>): number => {
  const status = readFileSync(`/proc/${part.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
};

const head = (...lines: readonly string[]): string => `${lines.join('\r\n')}\r\n`;
const FORM = 'Content-Type: application/x-www-form-urlencoded';

/** What an ordinary client asks meanwhile, on a new connection each time. */
async function healthy(): Promise<number> {
  const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: crypto.randomUUID(), refresh_token: 'x' });
  const headers = { connection: 'close' };
  const answer = await fetch(`${server.ready.issuer}/token`, { method: 'POST', body, headers });
  await answer.text();
  return answer.status;
}

/** Some at a time: a connection that the system has no room to offer to the server is none, though it looks like one. */
async function openIdle(): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  while (clients.length < IDLE_SOCKETS) {
    const some = Array.from({ length: IDLE_BATCH }, () => openRaw(port));
    await Promise.all(some.map(({ socket, ended }) => Promise.race([once(socket, 'connect'), ended])));
    clients.push(...some);
  }
  return clients;
}

describe('F14: clients that are slow', () => {
  test('headers, bodies and idle sockets by the thousand end within ten seconds; healthy requests go on', async () => {
    const host = `Host: localhost:${port}`;
    const attackers = [
      ...(await openIdle()),
      ...Array.from({ length: SLOW_EACH }, () => {
        const client = openRaw(port);
        client.send(head('GET / HTTP/1.1', host, 'X-Slow: '));
        drip(client, 'x', 700);
        return client;
      }),
      ...Array.from({ length: SLOW_EACH }, () => {
        const client = openRaw(port);
        client.send(`${head('POST /token HTTP/1.1', host, FORM, 'Content-Length: 4000')}\r\n`);
        drip(client, 'a', 700);
        return client;
      }),
    ];
    let areGone = false;
    const ended = Promise.all(attackers.map((client) => client.ended)).then((all) => {
      areGone = true;
      return all;
    });
    // Connections and slow bodies are there by now.
    await sleep(1_000);
    const answers: number[] = [];
    while (!areGone) {
      answers.push(await healthy());
      await sleep(50);
    }
    expect(answers.length).toBeGreaterThan(10);
    // Now and then a place is missing for a moment; were it held by those who are slow, it would be nearly always.
    expect(answers.filter((status) => status === 401).length).toBeGreaterThan(0.8 * answers.length);
    expect(answers.every((status) => status === 401 || status === 503)).toBe(true);
    const slowest = Math.max(...(await ended).map(({ ms }) => ms));
    expect(slowest).toBeLessThan(CLOSED_MS_MAX);
    expect(await fetch(`${server.ready.issuer}/readyz`)).toMatchObject({ status: 200 });
  }, 60_000);

  test('a gateway ends them as well', async () => {
    const { port: gatewayPort } = new URL(gateway.ready.resource);
    const clients = Array.from({ length: 3 }, () => openRaw(Number(gatewayPort)));
    clients[1]!.send(head('POST /mcp HTTP/1.1', `Host: localhost:${gatewayPort}`));
    clients[2]!.send(
      `${head(
        ...['POST /mcp HTTP/1.1', `Host: localhost:${gatewayPort}`, `Authorization: Bearer ${token}`],
        ...['Content-Type: application/json', 'Content-Length: 4000'],
      )}\r\n`,
    );
    drip(clients[2]!, ' ', 700);
    for (const { ms } of await Promise.all(clients.map((client) => client.ended))) {
      expect(ms).toBeLessThan(CLOSED_MS_MAX);
    }
  }, 60_000);
});

describe('F15: bodies without end', () => {
  const issuerHost = () => `Host: localhost:${port}`;
  const routes: [string, () => { to: number; lines: string[] }][] = [
    [
      'the API',
      () => ({
        to: port,
        lines: [`POST ${REGISTRATION_PATH} HTTP/1.1`, issuerHost(), 'Content-Type: application/json'],
      }),
    ],
    ['an OAuth form', () => ({ to: port, lines: ['POST /token HTTP/1.1', issuerHost(), FORM] })],
    [
      'a page',
      () => ({
        to: port,
        lines: [`POST /link/${'A'.repeat(43)} HTTP/1.1`, issuerHost(), `Origin: http://localhost:${port}`, FORM],
      }),
    ],
    [
      'the guard of a gateway',
      () => {
        const to = Number(new URL(gateway.ready.resource).port);
        const lines = ['POST /mcp HTTP/1.1', `Host: localhost:${to}`, `Authorization: Bearer ${token}`];
        return { to, lines: [...lines, 'Content-Type: application/json'] };
      },
    ],
  ];
  const part = 'a'.repeat(65_536);
  const chunk = `${part.length.toString(16)}\r\n${part}\r\n`;

  const send = (
    route: { to: number; lines: string[] },
    framing: string,
    text: string,
    bytesMax = 100 * MEBIBYTE,
  ): Promise<Ended> => {
    const client = openRaw(route.to);
    client.send(`${head(...route.lines, framing)}\r\n`);
    return pour(client, text, bytesMax);
  };

  test.each(routes)(
    '%s answers 413 to 100 MiB, said beforehand or not, and keeps nothing of them',
    async (_name, at) => {
      const process = at().to === port ? server : gateway;
      // What the first of them brings along stays: code that is compiled, buffers that are kept for the next.
      await send(at(), 'Transfer-Encoding: chunked', chunk);
      const before = residentMebibytes(process);
      const declared = await Promise.all(
        Array.from({ length: 4 }, () => send(at(), `Content-Length: ${100 * MEBIBYTE}`, part)),
      );
      const endless = await Promise.all(
        Array.from({ length: 4 }, () => send(at(), 'Transfer-Encoding: chunked', chunk)),
      );
      for (const { status, text } of [...declared, ...endless]) {
        expect(status, text).toBe(413);
      }
      // Eight times 100 MiB were offered.
      expect(residentMebibytes(process) - before).toBeLessThan(80);
    },
    60_000,
  );

  test('a body for nobody is cut off as well, and so is one behind an answer that never needed it', async () => {
    for (const path of ['/nowhere', '/livez']) {
      const route = { to: port, lines: [`POST ${path} HTTP/1.1`, issuerHost(), FORM] };
      // More than can be sent in the half second that the rest of a body is read for.
      const endless = 4_096 * MEBIBYTE;
      const { status, sentBytes } = await send(route, 'Transfer-Encoding: chunked', chunk, endless);
      expect(status).toBe(404);
      expect(sentBytes).toBeLessThan(endless);
    }
  }, 60_000);
});
