import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { makeScratchDirectory } from '../support/scratch.ts';
import { until } from './installation.ts';
import { type ProxyTarget, TcpProxy } from './tcp_proxy.ts';

// The fault tests believe this proxy, so it is tested by itself.

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Answers every chunk with `<name>:<chunk>` and remembers what it was asked. */
async function startEcho(name: string, where: { port: number; host: string } | { path: string }) {
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('data', (bytes) => {
      heard.push(bytes.toString());
      socket.write(`${name}:${bytes.toString()}`);
    });
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(where, resolve));
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  return { heard, sockets, target: typeof address === 'object' ? { port: address!.port } : { path: address } };
}

const onTcp = (name: string) => startEcho(name, { port: 0, host: '127.0.0.1' });

async function startProxy(target: ProxyTarget): Promise<TcpProxy> {
  const proxy = await TcpProxy.open(target);
  closing.push(() => proxy.close());
  return proxy;
}

async function dial(proxy: TcpProxy) {
  const socket = connect(proxy.port, '127.0.0.1');
  const said: string[] = [];
  const state = { isClosed: false };
  socket.on('data', (bytes) => said.push(bytes.toString()));
  socket.on('error', () => {});
  socket.on('close', () => {
    state.isClosed = true;
  });
  closing.push(async () => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  const hear = (text: string) => until(text, () => (said.join('').includes(text) ? true : undefined));
  const closed = () => until('the connection is closed', () => (state.isClosed ? true : undefined));
  return { socket, said, state, hear, closed };
}

test('passes both ways and counts, over TCP and to a Unix socket, and ends as the two ends do', async () => {
  const path = join(await makeScratchDirectory('proxy'), 'echo.sock');
  for (const echo of [await onTcp('a'), await startEcho('a', { path })]) {
    const proxy = await startProxy(echo.target as never);
    const client = await dial(proxy);
    client.socket.write('one');
    await client.hear('a:one');
    expect(proxy.counts).toMatchObject({ opened: 1, live: 1, bytes: { requests: 3, replies: 5 }, cut: 0 });
    client.socket.end();
    await client.closed();
    await until('the target is left too', () => (echo.sockets.size === 0 ? true : undefined));
    expect(proxy.counts.live).toBe(0);
  }
});

test('cut destroys both ends; a new target takes new connections only', async () => {
  const [first, second] = [await onTcp('a'), await onTcp('b')];
  const proxy = await startProxy(first.target as never);
  const client = await dial(proxy);
  client.socket.write('one');
  await client.hear('a:one');
  proxy.forwardTo(second.target as never);
  client.socket.write('two');
  await client.hear('a:two');
  expect(proxy.cut()).toBe(1);
  await client.closed();
  await until('the target is left too', () => (first.sockets.size === 0 ? true : undefined));
  const next = await dial(proxy);
  next.socket.write('three');
  await next.hear('b:three');
});

test('muted replies: the target acts and nobody hears of it, also on new connections, until healed', async () => {
  const echo = await onTcp('a');
  const proxy = await startProxy(echo.target as never);
  const [old, whole] = [await dial(proxy), await dial(proxy)];
  proxy.mute('replies');
  const young = await dial(proxy);
  old.socket.write('one');
  young.socket.write('two');
  await until('both arrive', () => (echo.heard.length === 2 ? true : undefined));
  await until('both are swallowed', () => (proxy.counts.swallowed.replies === 10 ? true : undefined));
  expect([old.said, young.said, old.state.isClosed]).toEqual([[], [], false]);
  proxy.heal();
  await old.closed();
  await young.closed();
  expect(whole.state.isClosed).toBe(false);
  whole.socket.write('three');
  await whole.hear('a:three');
});

test('a partition hides even the end of a connection', async () => {
  const echo = await onTcp('a');
  const proxy = await startProxy(echo.target as never);
  const client = await dial(proxy);
  client.socket.write('one');
  await client.hear('a:one');
  proxy.mute();
  client.socket.end('two');
  await until('it is swallowed', () => (proxy.counts.swallowed.requests === 3 ? true : undefined));
  expect([echo.heard, echo.sockets.size]).toEqual([['one'], 1]);
  proxy.heal();
  await until('the target is left', () => (echo.sockets.size === 0 ? true : undefined));
});

test('watching a chunk can mute its very answer', async () => {
  const echo = await onTcp('a');
  const proxy = await startProxy(echo.target as never);
  const client = await dial(proxy);
  const forget = proxy.watch('requests', (bytes) => bytes.includes('commit') && proxy.mute('replies'));
  client.socket.write('begin');
  await client.hear('a:begin');
  client.socket.write('commit');
  await until('it is swallowed', () => (proxy.counts.swallowed.replies > 0 ? true : undefined));
  forget();
  expect([echo.heard, client.said]).toEqual([['begin', 'commit'], ['a:begin']]);
});

test('delay keeps the order, also when it ends; refuse resets', async () => {
  const echo = await onTcp('a');
  const proxy = await startProxy(echo.target as never);
  const client = await dial(proxy);
  const startedAt = performance.now();
  proxy.delay(150);
  client.socket.write('one');
  await until('it is on its way', () => (proxy.counts.bytes.requests === 3 ? true : undefined));
  proxy.heal();
  client.socket.write('two');
  await client.hear('two');
  expect(performance.now() - startedAt).toBeGreaterThan(140);
  expect(echo.heard.join('')).toBe('onetwo');
  proxy.refuse();
  const refused = await dial(proxy);
  await refused.closed();
  expect([proxy.counts.refused, client.state.isClosed]).toEqual([1, false]);
});
