import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { writeServeConfig } from '../support/serve_config.ts';
import { until } from './installation.ts';
import { TcpProxy } from './tcp_proxy.ts';

// Twice as many requests as are worked on at a time: those let in are answered about as fast as at the limit, the rest
// are told at once to come again. Ratios only: what a request takes here depends on what else the machine does.

const REQUESTS_MAX = 16;
const SECONDS = 5;
const MEMORY_GROWTH_MIB_MAX = 100;

let database: TestDatabase;
/** The way to PostgreSQL, which can hang. */
let way: TcpProxy;
let port: number;
let server: Part<ServerReady>;
const agents: Agent[] = [];

beforeAll(async () => {
  const root = await makeScratchDirectory('overload');
  database = await createTestDatabase();
  const { connection } = database;
  way = await TcpProxy.open({ path: `${connection.socketDirectory}/.s.PGSQL.${connection.port}` });
  port = await freePort();
  const config = await writeServeConfig(root, {
    issuerPort: port,
    connection: { ...connection, port: way.port },
    socketDirectory: '127.0.0.1',
    more: [`overload: { requests_max: ${REQUESTS_MAX} }`],
  });
  server = await startPart<ServerReady>(['serve', '--config', config, '--port', String(port)]);
}, 60_000);
afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.destroy()));
  await server?.stop();
  await way?.close();
  await database?.drop();
});

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly error: unknown;
  readonly ms: number;
}

/** A client that is not known has to be looked up in PostgreSQL: work that ends in a refusal and leaves nothing behind. */
async function work(agent: Agent): Promise<Answer> {
  const fields = { grant_type: 'refresh_token', client_id: crypto.randomUUID(), refresh_token: 'x' };
  const startedAt = performance.now();
  const { statusCode, headers, body } = await request(`http://127.0.0.1:${port}/token`, {
    dispatcher: agent,
    method: 'POST',
    headers: { host: `localhost:${port}`, 'content-type': 'application/x-www-form-urlencoded' },
    body: String(new URLSearchParams(fields)),
  });
  const { error } = (await body.json()) as { error?: unknown };
  const retryAfter = headers['retry-after'];
  return {
    status: statusCode,
    retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
    error,
    ms: performance.now() - startedAt,
  };
}

async function probe(): Promise<{ status: number; ms: number }> {
  const startedAt = performance.now();
  const { statusCode, body } = await request(`http://127.0.0.1:${port}/livez`);
  await body.dump();
  return { status: statusCode, ms: performance.now() - startedAt };
}

/** So many clients that each send the next request when the last was answered, and probes beside them. */
async function load(clients: number): Promise<{ answers: Answer[]; probes: { status: number; ms: number }[] }> {
  const agent = new Agent({ connections: clients });
  agents.push(agent);
  const answers: Answer[] = [];
  const probes: { status: number; ms: number }[] = [];
  const until = performance.now() + SECONDS * 1_000;
  const each = async (act: () => Promise<unknown>) => {
    while (performance.now() < until) await act();
  };
  await Promise.all([
    ...Array.from({ length: clients }, () => each(async () => answers.push(await work(agent)))),
    each(async () => probes.push(await probe())),
  ]);
  return { answers, probes };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

const p99 = (answers: readonly { readonly ms: number }[]) =>
  percentile(
    answers.map(({ ms }) => ms),
    0.99,
  );
const residentMebibytes = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))?.[1]) / 1024;

// What else the machine does only makes it slower: one good measurement of three is enough.
test('twice the load is shed at once: what is let in stays fast, probes are answered, memory is flat', {
  timeout: 60_000,
  retry: 2,
}, async () => {
  await load(4);
  const atLimit = await load(REQUESTS_MAX);
  const before = residentMebibytes();
  const beyond = await load(2 * REQUESTS_MAX);
  const admitted = beyond.answers.filter(({ status }) => status === 401);
  const shed = beyond.answers.filter(({ status }) => status === 503);
  expect(admitted.length + shed.length).toBe(beyond.answers.length);
  expect(admitted.length).toBeGreaterThan(0.2 * atLimit.answers.length);
  expect(shed.length).toBeGreaterThan(REQUESTS_MAX);
  for (const { retryAfter, error } of shed)
    expect({ retryAfter, error }).toEqual({ retryAfter: '1', error: 'unavailable' });
  expect(p99(admitted)).toBeLessThan(4 * p99(atLimit.answers) + 100);
  expect(
    percentile(
      shed.map(({ ms }) => ms),
      0.5,
    ),
  ).toBeLessThan(
    percentile(
      admitted.map(({ ms }) => ms),
      0.5,
    ),
  );
  expect(beyond.probes.every(({ status }) => status === 200)).toBe(true);
  expect(p99(beyond.probes)).toBeLessThan(p99(admitted) + 100);
  expect(residentMebibytes() - before).toBeLessThan(MEMORY_GROWTH_MIB_MAX);
});

test('while PostgreSQL hangs, /livez is answered, readiness says why, and new work is shed instead of queued', async () => {
  const agent = new Agent({ connections: 4 * REQUESTS_MAX });
  agents.push(agent);
  way.mute();
  const answers = Promise.all(Array.from({ length: 4 * REQUESTS_MAX }, () => work(agent)));
  const alive = await Promise.all(Array.from({ length: 20 }, probe));
  expect(alive.every(({ status }) => status === 200)).toBe(true);
  expect(Math.max(...alive.map(({ ms }) => ms))).toBeLessThan(2_000);
  await until('readiness names the database', async () => {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/readyz`);
    const { reason } = (await body.json()) as { reason?: string };
    return statusCode === 503 && reason === 'database' ? true : undefined;
  });
  const all = await answers;
  expect(all.every(({ status, retryAfter }) => status === 503 && retryAfter !== undefined)).toBe(true);
  // Those beyond the limit did not wait for PostgreSQL.
  const atOnce = all.filter(({ error }) => error === 'unavailable').map(({ ms }) => ms);
  expect(atOnce.length).toBeGreaterThanOrEqual(3 * REQUESTS_MAX);
  expect(percentile(atOnce, 0.5)).toBeLessThan(2_000);
  way.heal();
  await until('it is ready again', async () => {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/readyz`);
    await body.dump();
    return statusCode === 200 ? true : undefined;
  });
}, 60_000);
