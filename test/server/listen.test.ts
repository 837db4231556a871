import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HEADER_BYTES_MAX, HEADERS_TIMEOUT_MS, WRITE_STALL_MS } from '../../src/server/limits.ts';
import { type Handler, ListenError, type Listening, listen } from '../../src/server/listen.ts';

const setting = '--port or listen.port';
let listening: Listening;
const held = Promise.withResolvers<void>();

beforeAll(async () => {
  listening = await listen(
    async (request, response) => {
      if (request.url === '/held') await held.promise;
      response.end('answered');
    },
    { host: '127.0.0.1', port: 0, setting },
  );
});
afterAll(async () => {
  held.resolve();
  await listening.close();
});

const address = (path = '/') => `http://127.0.0.1:${listening.port}${path}`;

function open(): { socket: Socket; all: Promise<string> } {
  const socket = connect(listening.port, '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  socket.on('error', () => {});
  return { socket, all: new Promise((resolve) => socket.once('close', () => resolve(text))) };
}

test.concurrent('headers that drip in are cut off in time, and cost nobody else theirs', {
  timeout: 30_000,
}, async () => {
  const { socket, all } = open();
  const started = performance.now();
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n');
  const drip = setInterval(() => socket.write('X-More: 1\r\n'), 500);
  const meanwhile = await fetch(address());
  expect(await meanwhile.text()).toBe('answered');
  expect(await all).toMatch(/^HTTP\/1\.1 408 /);
  clearInterval(drip);
  expect(performance.now() - started).toBeLessThan(HEADERS_TIMEOUT_MS + 5_000);
});

test.concurrent('headers beyond the limit are refused, and those below it are not', async () => {
  const send = (bytes: number) => fetch(address(), { headers: { 'x-more': 'x'.repeat(bytes) } });
  expect((await send(HEADER_BYTES_MAX - 2_000)).status).toBe(200);
  expect((await send(HEADER_BYTES_MAX + 1)).status).toBe(431);
});

test.concurrent('a port in use is said so, with what to change', async () => {
  const options = { host: '127.0.0.1', port: listening.port, setting };
  const found = await listen(() => {}, options).catch((error: unknown) => error);
  expect(found).toBeInstanceOf(ListenError);
  expect((found as Error).message).toBe(
    `Port ${listening.port} on 127.0.0.1 is in use. Stop what listens there, or choose another port with ${setting}.`,
  );
});

test.concurrent('an address that is not of this machine is said so', async () => {
  await expect(listen(() => {}, { host: '192.0.2.1', port: 0, setting })).rejects.toThrow(
    /192\.0\.2\.1 .*listen\.host/,
  );
});

test.concurrent('closing takes no new connections and lets what runs finish', async () => {
  const started = Promise.withResolvers<void>();
  const mayEnd = Promise.withResolvers<void>();
  const own = await listen(
    async (_request, response) => {
      started.resolve();
      await mayEnd.promise;
      response.end('whole');
    },
    { host: '127.0.0.1', port: 0, setting },
  );
  const running = fetch(`http://127.0.0.1:${own.port}/`);
  await started.promise;
  const closed = own.close();
  await sleep(50);
  await expect(fetch(`http://127.0.0.1:${own.port}/`)).rejects.toThrow();
  mayEnd.resolve();
  expect(await (await running).text()).toBe('whole');
  await closed;
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(own.port, '127.0.0.1', resolve));
  expect((free.address() as AddressInfo).port).toBe(own.port);
  free.close();
});

test.concurrent('a reader who takes nothing of an answer is cut off, one who takes it slowly is not', {
  timeout: 60_000,
}, async ({ expect }) => {
  const bytes = 64 * 1024 * 1024;
  let open = 2;
  const serve: Handler = (request, response) => {
    request.socket.once('close', () => {
      open -= 1;
    });
    response.end(Buffer.alloc(bytes));
  };
  const own = await listen(serve, { host: '127.0.0.1', port: 0, setting });
  const ask = () => {
    const socket = connect(own.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    return { socket, closed: new Promise((resolve) => socket.once('close', resolve)) };
  };
  const stalled = ask();
  stalled.socket.pause();
  const slow = ask();
  let taken = 0;
  slow.socket.on('data', (part) => {
    taken += part.length;
    // For longer than the other one is waited for.
    slow.socket.pause();
    setTimeout(() => slow.socket.resume(), (part.length / bytes) * (WRITE_STALL_MS + 6_000));
  });
  const startedAt = performance.now();
  await expect.poll(() => open, { timeout: 40_000 }).toBe(1);
  expect(performance.now() - startedAt).toBeGreaterThan(WRITE_STALL_MS - 1_000);
  await expect.poll(() => taken, { timeout: 40_000 }).toBeGreaterThanOrEqual(bytes);
  stalled.socket.destroy();
  slow.socket.destroy();
  await own.close();
});
