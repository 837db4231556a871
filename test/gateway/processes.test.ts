import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import {
  callTool,
  isAlive,
  messageTexts,
  post,
  RAW_SERVER,
  rawServer,
  type ServedGateway,
  serveGateway,
  until,
} from './served_gateway.ts';

let served: ServedGateway | undefined;

afterEach(async () => {
  await served?.close();
  served = undefined;
});

async function pidOf(url: URL, principal = 'ann'): Promise<number> {
  const { result } = await callTool(url, 'counter', {}, { principal });
  return JSON.parse(result.content[0].text).pid;
}

test.each([true, false])(
  'a crash in a call says that its outcome is unknown, and the next call works (2026: %s)',
  async (envelope) => {
    served = await serveGateway(rawServer());
    const { url } = served;
    const other = callTool(url, 'slow', { milliseconds: 1_500 }, { principal: 'bob', envelope });
    const before = await pidOf(url);
    const { error } = await callTool(url, 'crash', {}, { envelope });
    expect(error).toMatchObject({ code: -32000, data: { 'countersign/outcome': 'unknown' } });
    expect(error.message).toContain('exit code 3');
    // The call itself is never sent again: the new process has counted no call but this one.
    const { result } = await callTool(url, 'counter', {}, { envelope });
    expect(JSON.parse(result.content[0].text)).toMatchObject({ calls: 1 });
    expect(JSON.parse(result.content[0].text).pid).not.toBe(before);
    expect((await other).result.content[0].text).toBe('slept');
  },
);

test.each([true, false])(
  'to the guard, a redeemed call that crashes ends without an answer, and one that never ran with an error (2026: %s)',
  async (envelope) => {
    served = await serveGateway(rawServer({ processes_per_principal_max: 1 }));
    const headers = { 'x-redemption': 'red_1' };
    const message = { id: 1, method: 'tools/call', params: { name: 'crash', arguments: {} } };
    const response = await post(served.url, message, { envelope, headers });
    expect(await messageTexts(response)).toEqual([]);
    expect(served.log).toContainEqual(expect.objectContaining({ message: 'A run has no known outcome.' }));

    const busy = callTool(served.url, 'slow', { milliseconds: 1_000 }, { principal: 'ann/t1' });
    await new Promise((resolve) => setTimeout(resolve, 400));
    const refused = await callTool(served.url, 'slow', {}, { principal: 'ann/t2', envelope, headers });
    expect(refused.error.data).toEqual({ 'countersign/outcome': 'not_run' });
    expect((await busy).result).toBeDefined();
  },
);

test('the last answer of a process that ends right after it arrives', async () => {
  served = await serveGateway(rawServer());
  const { result } = await callTool(served.url, 'answer_and_exit');
  expect(result.content[0].text).toHaveLength(200_000);
});

test('a process that can no longer answer is stopped at once', async () => {
  served = await serveGateway(rawServer());
  const { error } = await callTool(served.url, 'close_stdout');
  expect(error.data).toEqual({ 'countersign/outcome': 'unknown' });
});

test('a log level outlives the process that was told', async () => {
  served = await serveGateway(rawServer());
  await post(served.url, { id: 1, method: 'logging/setLevel', params: { level: 'error' } });
  const levels = async () => {
    const { result } = await callTool(served?.url as URL, 'counter');
    return JSON.parse(result.content[0].text).levels;
  };
  expect(await levels()).toEqual(['error']);
  await callTool(served.url, 'crash');
  expect(await levels()).toEqual(['error']);
});

test('a server that keeps crashing is started ever more slowly, then refused for a while', async () => {
  served = await serveGateway(rawServer());
  const messages: string[] = [];
  for (let crash = 0; crash < 8; crash += 1) {
    const { error } = await callTool(served.url, 'crash');
    messages.push(error.message);
    if (error.message.includes('in a row')) break;
  }
  expect(messages.at(-1)).toMatch(/ended \d times in a row and is started again in \d+ s. Nothing was run/);
  // Another principal is not made to wait for it.
  expect(await pidOf(served.url, 'bob')).toBeGreaterThan(0);
});

test('a server that cannot start is reported with what to do, to tools() and to a client', async () => {
  served = await serveGateway(rawServer({ args: ['--eval', 'process.exit(9)'] } as never));
  await expect(served.gateway.tools()).rejects.toThrow(/is not available: it ended with exit code 9/);
  const { error } = await callTool(served.url, 'echo');
  expect(error.message).toContain('is not available');
  await expect(serveGateway({ kind: 'stdio', command: 'no-such-program' })).rejects.toThrow(/is not in PATH/);
  await expect(serveGateway({ kind: 'stdio', command: '/etc/passwd' })).rejects.toThrow(/not an executable file/);
  await expect(serveGateway(rawServer({ cwd: '/nowhere' } as never))).rejects.toThrow(/is not a directory/);
});

test('a server of an unknown protocol revision is refused', async () => {
  served = await serveGateway(rawServer({ env_names: ['RAW_SERVER_VERSION'] }), { RAW_SERVER_VERSION: '2024-11-05' });
  await expect(served.gateway.tools()).rejects.toThrow(/speaks MCP 2024-11-05/);
});

test('2025-06-18 is spoken', async () => {
  served = await serveGateway(rawServer({ env_names: ['RAW_SERVER_VERSION'] }), { RAW_SERVER_VERSION: '2025-06-18' });
  expect((await served.gateway.tools()).length).toBeGreaterThan(0);
});

test('a flood on stderr blocks nothing and is logged in part', async () => {
  served = await serveGateway(rawServer());
  const { result } = await callTool(served.url, 'flood');
  expect(result.content[0].text).toBe('flooded');
  expect(await pidOf(served.url)).toBeGreaterThan(0);
  const logged = served.log.filter(({ message }) => message.includes('stderr'));
  expect(logged.length).toBeGreaterThan(0);
  expect(logged.length).toBeLessThan(200);
});

test('a message over the limit ends the process, not the gateway', async () => {
  served = await serveGateway(rawServer());
  const { error } = await callTool(served.url, 'huge');
  expect(error.data).toEqual({ 'countersign/outcome': 'unknown' });
  expect(await pidOf(served.url)).toBeGreaterThan(0);
});

test('an idle process ends by itself', async () => {
  served = await serveGateway(rawServer({ idle_seconds_max: 1 }));
  const pid = await pidOf(served.url);
  expect(isAlive(pid)).toBe(true);
  await until(() => !isAlive(pid), 5_000);
});

test('a silent call is given up after the configured time', async () => {
  served = await serveGateway(rawServer({ request_quiet_seconds_max: 1 }));
  const { error } = await callTool(served.url, 'slow', { milliseconds: 5_000 });
  expect(error.message).toContain('silent for 1 seconds');
  expect(error.data).toEqual({ 'countersign/outcome': 'unknown' });
});

test('close fails calls in flight, then ends the processes and what they started, even stubborn ones', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-gateway-'));
  const file = join(folder, 'pids');
  const names = ['RAW_SERVER_STUBBORN', 'RAW_SERVER_GRANDCHILD_FILE'];
  served = await serveGateway(rawServer({ env_names: names }), {
    RAW_SERVER_STUBBORN: '1',
    RAW_SERVER_GRANDCHILD_FILE: file,
  });
  await pidOf(served.url);
  const pids = (await readFile(file, 'utf8')).split(' ').map(Number);
  expect(pids.map(isAlive)).toEqual([true, true]);
  const waiting = callTool(served.url, 'slow');
  await new Promise((resolve) => setTimeout(resolve, 200));
  const startedAt = performance.now();
  const closing = served.gateway.close();
  expect((await waiting).error.data).toEqual({ 'countersign/outcome': 'unknown' });
  await closing;
  expect(performance.now() - startedAt).toBeLessThan(4_000);
  await until(() => !pids.some(isAlive), 1_000);
  await rm(folder, { recursive: true });
});

test('what a crashed process started ends with it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-gateway-'));
  const file = join(folder, 'pids');
  served = await serveGateway(rawServer({ env_names: ['RAW_SERVER_GRANDCHILD_FILE'] }), {
    RAW_SERVER_GRANDCHILD_FILE: file,
  });
  const pid = await pidOf(served.url);
  const [parent, grandchild] = (await readFile(file, 'utf8')).split(' ').map(Number) as [number, number];
  expect([parent, isAlive(grandchild)]).toEqual([pid, true]);
  await callTool(served.url, 'crash');
  await until(() => !isAlive(grandchild), 1_000);
  await rm(folder, { recursive: true });
});

test('a gateway that is killed leaves no upstream process behind', async () => {
  const script = `
    import { createGateway } from ${JSON.stringify(join(import.meta.dirname, '../../src/gateway/index.ts'))};
    import { silentLogger } from ${JSON.stringify(join(import.meta.dirname, '../../src/kernel/logger.ts'))};
    const upstream = { kind: 'stdio', command: process.execPath, args: [${JSON.stringify(RAW_SERVER)}] };
    const gateway = createGateway({ upstream, log: silentLogger });
    await gateway.tools();
    const whole = { requester: 'a', agent: 'a', client_id: 'a', task: 'a' };
    const authInfo = { token: '', clientId: '', scopes: [], extra: { countersign: whole } };
    const parsedBody = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'counter', arguments: {} } };
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    const request = new Request('http://localhost/mcp', { method: 'POST', headers, body: '{}' });
    const text = await (await gateway.fetch(request, { parsedBody, authInfo })).text();
    const { result } = JSON.parse(text.slice(text.indexOf('{')));
    console.log(JSON.parse(result.content[0].text).pid);
  `;
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [chunk] = await new Promise<[Buffer]>((resolve) => parent.stdout.once('data', (data) => resolve([data])));
  const pid = Number(chunk.toString());
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  await until(() => !isAlive(pid), 5_000);
});
