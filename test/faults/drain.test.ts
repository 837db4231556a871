import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decideByScript } from '../../examples/demo/approver.ts';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import {
  acceptToolServer,
  becomeOperator,
  type GatewayReady,
  registerAgent,
  type ServerReady,
} from '../../examples/demo/set_up.ts';
import { readStepUp, type ServiceAgent, type Waiting } from '../../src/agent/index.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { writeServeConfig } from '../support/serve_config.ts';
import { until } from './installation.ts';
import { TcpProxy } from './tcp_proxy.ts';

const LEDGER_SERVER = fileURLToPath(new URL('../fixtures/ledger_server.ts', import.meta.url));
const DRAIN_SECONDS_MAX = 60;
const STOP_MS_MAX = 30_000;

interface Node {
  readonly part: Part<ServerReady>;
  readonly port: number;
}

let root: string;
let database: TestDatabase;
/** What everybody calls the issuer: it leads to one node or another. */
let issuer: TcpProxy;
let operator: ScriptedPerson;
let agent: ServiceAgent;
let gateway: Part<GatewayReady>;
let gatewayPort: number;
let taskId: string;
const nodes: Node[] = [];
const clients: Client[] = [];

beforeAll(async () => {
  root = await makeScratchDirectory('drain');
  database = await createTestDatabase();
  const port = await freePort();
  issuer = await TcpProxy.open({ port }, await freePort());
  const first = await startNode(port);
  operator = await becomeOperator(first.part.ready, 'Operator');
  gatewayPort = await freePort();
  await startGateway();
  await acceptToolServer(operator, gateway.ready);
  agent = await registerAgent(operator, `http://localhost:${issuer.port}`);
  const { resource } = gateway.ready;
  ({ taskId } = await agent.startTask({ resource, tools: ['append'], purpose: 'Keep the ledger' }));
}, 120_000);
afterAll(async () => {
  await Promise.allSettled(clients.map((client) => client.close()));
  await Promise.all([gateway, ...nodes.map(({ part }) => part)].map((part) => part?.stop()));
  await issuer.close();
  await database.drop();
});

async function startNode(port: number, drain = `{ seconds_max: ${DRAIN_SECONDS_MAX} }`): Promise<Node> {
  const { connection } = database;
  const more = [`drain: ${drain}`];
  const config = await writeServeConfig(root, { issuerPort: issuer.port, connection, more });
  const part = await startPart<ServerReady>(['serve', '--config', config, '--port', String(port)]);
  nodes.push({ part, port });
  return { part, port };
}

async function startGateway(): Promise<void> {
  gateway = await startPart<GatewayReady>([
    ...['gateway', '--issuer', `http://localhost:${issuer.port}`, '--name', 'ledger', '--port', String(gatewayPort)],
    ...['--key-file', join(root, 'gateway.key.json'), '--risk', 'write=*'],
    ...['--', process.execPath, LEDGER_SERVER, join(root, 'ledger')],
  ]);
}

async function connectAgent(): Promise<Client> {
  const { resource } = gateway.ready;
  const client = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(
    new StreamableHTTPClientTransport(new URL(resource), { authProvider: agent.authProvider(taskId, resource) }),
  );
  clients.push(client);
  return client;
}

interface Result {
  readonly isError?: boolean;
  readonly content?: readonly { readonly text?: string }[];
}

/** A call that the guard holds; resolves once it said that it does. */
async function hold(client: Client, line: string): Promise<{ waiting: Waiting; result: Promise<Result> }> {
  const told = Promise.withResolvers<Waiting>();
  const onprogress = (progress: object) => {
    const verdict = readStepUp(progress);
    if (verdict?.kind === 'waiting') told.resolve(verdict);
  };
  const call = { name: 'append', arguments: { line } };
  const result = client.callTool(call, { onprogress }) as unknown as Promise<Result>;
  result.then((answer) => told.reject(new Error(`It was not held: ${JSON.stringify(answer)}`)), told.reject);
  return { waiting: await told.promise, result };
}

function runs(line: string): number {
  const ledger = join(root, 'ledger');
  if (!existsSync(ledger)) return 0;
  return readFileSync(ledger, 'utf8').split(JSON.stringify(line)).length - 1;
}

/** Asks the process to end as a supervisor would. Resolves with its exit code, and how long it took. */
async function terminate({ process: child }: Part<unknown>): Promise<{ code: number | null; ms: number }> {
  const startedAt = performance.now();
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), DRAIN_SECONDS_MAX * 1_000);
  const [code] = (await exited) as [number | null];
  clearTimeout(timer);
  return { code, ms: performance.now() - startedAt };
}

async function probe(port: number, path: string) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: answer.status, body: (await answer.json()) as { status: string; reason?: string } };
}

describe('a node that is asked to end', () => {
  test('sends its waiters to another node, and the agent whose call is held notices nothing', async () => {
    const [first] = nodes;
    const second = await startNode(await freePort());
    const client = await connectAgent();
    const { waiting, result } = await hold(client, 'over two nodes');
    issuer.forwardTo({ port: second.port });
    const { code, ms } = await terminate(first!.part);
    expect(code).toBe(0);
    // Nothing was waited for: the longest wait of a guard is 25 s, and the drain would have lasted for longer.
    expect(ms).toBeLessThan(20_000);
    await decideByScript(operator, waiting, 'approve');
    expect(await result).toMatchObject({ content: [{ text: expect.stringContaining('Appended') }] });
    expect((await result).isError ?? false).toBe(false);
    expect(runs('over two nodes')).toBe(1);
  }, 90_000);

  test('says so, is alive and answers what it has read, and then its connections end', async () => {
    const node = await startNode(await freePort(), '{ announce_seconds: 3, seconds_max: 30 }');
    expect(await probe(node.port, '/readyz')).toMatchObject({ status: 200 });
    const { socket, until: read } = halfRequest(node.port);
    await read('HTTP/1.1 100 Continue');
    const ended = terminate(node.part);
    await until('it says that it is draining', async () => {
      const { status, body } = await probe(node.port, '/readyz');
      return status === 503 && body.reason === 'draining' ? true : undefined;
    });
    expect(await probe(node.port, '/livez')).toMatchObject({ status: 200 });
    await until('it takes no connections', () =>
      probe(node.port, '/livez').then(
        () => undefined,
        () => true,
      ),
    );
    socket.write('client_id=editor&grant_type=x');
    const answer = await read('error');
    expect(answer).toMatch(/HTTP\/1\.1 401 Unauthorized[\s\S]*Connection: close/);
    expect((await ended).code).toBe(0);
  }, 90_000);

  test('ends at once when it is asked twice', async () => {
    const { part, port } = await startNode(await freePort(), '{ announce_seconds: 300 }');
    const ended = terminate(part);
    await until('it drains', async () => ((await probe(port, '/readyz')).status === 503 ? true : undefined));
    part.process.kill('SIGTERM');
    expect(await ended).toMatchObject({ code: 1 });
    expect((await ended).ms).toBeLessThan(STOP_MS_MAX);
  }, 60_000);
});

/** The head of a token request whose body comes later. */
function halfRequest(port: number): { socket: Socket; until: (text: string) => Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  let all = '';
  socket.setEncoding('utf8').on('data', (part: string) => {
    all += part;
  });
  const head = ['POST /token HTTP/1.1', `Host: localhost:${issuer.port}`, 'Content-Length: 29', 'Expect: 100-continue'];
  socket.write(`${[...head, 'Content-Type: application/x-www-form-urlencoded'].join('\r\n')}\r\n\r\n`);
  return { socket, until: (text) => until(`the answer holds ${text}`, () => (all.includes(text) ? all : undefined)) };
}

test('a gateway that is asked to end tells held calls to come again, and the approval is still there for them', async () => {
  const client = await connectAgent();
  const { waiting, result } = await hold(client, 'over two gateways');
  const { code, ms } = await terminate(gateway);
  expect(code).toBe(0);
  expect(ms).toBeLessThan(STOP_MS_MAX);
  const answer = await result;
  expect(answer.isError).toBe(true);
  expect(readStepUp(answer)).toMatchObject({ kind: 'waiting', stepUpId: waiting.stepUpId });
  expect(runs('over two gateways')).toBe(0);
  await decideByScript(operator, waiting, 'approve');
  await startGateway();
  // At first it has not heard from the server yet, and says so.
  const again = await until('the gateway serves again', () => connectAgent().catch(() => undefined));
  const call = { name: 'append', arguments: { line: 'over two gateways' } };
  const made = (await again.callTool(call)) as unknown as Result;
  expect(made.isError ?? false).toBe(false);
  expect(runs('over two gateways')).toBe(1);
}, 90_000);
