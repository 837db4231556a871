import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type LookupFunction } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { isPublicAddress } from '../../src/kernel/public_address.ts';
import { createSafeFetch, SafeFetchError, type SafeFetchOptions } from '../../src/kernel/safe_fetch.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  closers.push(() => server.close().closeAllConnections());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A port that counts who connects. */
async function trap(): Promise<{ port: number; count: () => number }> {
  let connections = 0;
  const server = createTcpServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  closers.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, count: () => connections };
}

async function refusal(url: string, options?: SafeFetchOptions): Promise<string> {
  const error = await createSafeFetch(options)(url).then(
    () => 'fetched',
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(SafeFetchError);
  expect((error as SafeFetchError).message).toBe('The document could not be fetched.');
  return (error as SafeFetchError).code;
}

describe('addresses', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '0x7f000001',
    '2130706433',
    '0177.0.0.1',
    '0',
    '[::1]',
    '[::]',
    '[::127.0.0.1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::127.0.0.1]',
    '[2002:7f00:1::]',
    'localhost',
    'localhost.',
    'LOCALHOST',
    'a.localhost',
    '①②⑦.⓪.⓪.①',
  ])('T44 https://%s is refused and no packet leaves', async (host) => {
    const { port, count } = await trap();
    const looked: string[] = [];
    const lookup: LookupFunction = (name, _, callback) => {
      looked.push(name);
      callback(null, [{ address: '127.0.0.1', family: 4 }]);
    };
    expect(await refusal(`https://${host}:${port}/`, { lookup })).toBe('address_refused');
    expect(looked).toEqual([]);
    expect(count()).toBe(0);
  });

  test.each(['169.254.169.254', '[::ffff:169.254.169.254]', '10.0.0.1', '[fd00::1]', 'metadata', 'example.com.'])(
    'T44 https://%s is refused',
    async (host) => expect(await refusal(`https://${host}/latest`)).toBe('address_refused'),
  );

  test.each([
    'http://example.com/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'data:text/plain,a',
    'https://user@example.com/',
    'https://:secret@example.com/',
    'https://',
    'https://[::127.0.0.300]/',
    '//example.com',
    '',
    `https://example.com/${'a'.repeat(3_000)}`,
  ])('T44 %s is refused as an address', async (url) => expect(await refusal(url)).toBe('url_refused'));

  test.each([
    ['a private address', [{ address: '127.0.0.1', family: 4 }]],
    [
      'a public and a private one',
      [
        { address: '1.1.1.1', family: 4 },
        { address: '::1', family: 6 },
      ],
    ],
    ['nothing', []],
  ])('T45 a public name that resolves to %s is refused and no packet leaves', async (_, addresses) => {
    const { port, count } = await trap();
    const lookup: LookupFunction = (_name, _options, callback) => callback(null, addresses);
    expect(await refusal(`https://rebound.example.com:${port}/`, { lookup })).toBe('address_refused');
    expect(count()).toBe(0);
  });

  test('an allowed host is allowed with its port only', async () => {
    const { port, count } = await trap();
    const host = await serve((_, response) => response.end('ok'));
    const fetch = createSafeFetch({ allowedHosts: [host] });
    expect((await fetch(`http://${host}/a`)).body.toString()).toBe('ok');
    await expect(fetch(`https://127.0.0.1:${port}/`)).rejects.toMatchObject({ code: 'address_refused' });
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({ code: 'url_refused' });
    expect(count()).toBe(0);
  });

  test.each([
    ['1.1.1.1', true],
    ['172.15.255.255', true],
    ['172.32.0.0', true],
    ['2606:4700:4700::1111', true],
    ['2a00:1450:4001::1', true],
    ['0.1.2.3', false],
    ['100.64.0.1', false],
    ['172.31.255.255', false],
    ['192.0.0.8', false],
    ['192.168.1.1', false],
    ['198.19.0.1', false],
    ['203.0.113.9', false],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
    ['::ffff:1.1.1.1', false],
    ['::1.1.1.1', false],
    ['64:ff9b::1.1.1.1', false],
    ['64:ff9b:1::1', false],
    ['100::1', false],
    ['2001::1', false],
    ['2001:db8::1', false],
    ['2002:101:101::1', false],
    ['3fff::1', false],
    ['4000::1', false],
    ['fc00::1', false],
    ['fe80::1', false],
    ['fe80::1%lo', false],
    ['2606:4700::1%lo', false],
    ['ff02::1', false],
    ['', false],
    ['example.com', false],
  ])('%s is public: %s', (address, isPublic) => expect(isPublicAddress(address)).toBe(isPublic));
});

describe('what comes back is bounded', () => {
  test('status, headers and body of a small document', async () => {
    const host = await serve((request, response) => {
      response.writeHead(404, { 'Content-Type': 'application/json', 'X-Sent': request.headers.accept ?? '' });
      response.end('{"a":1}');
    });
    const response = await createSafeFetch({ allowedHosts: [host] })(`http://${host}/`, { headers: { accept: 'x/y' } });
    expect(response).toMatchObject({ status: 404, headers: { 'content-type': 'application/json', 'x-sent': 'x/y' } });
    expect(response.body.toString()).toBe('{"a":1}');
  });

  test('a body can be posted', async () => {
    const host = await serve((request, response) => request.pipe(response));
    const response = await createSafeFetch({ allowedHosts: [host] })(`http://${host}/`, { method: 'POST', body: 'b' });
    expect(response.body.toString()).toBe('b');
  });

  test.each([301, 302, 303, 307, 308])('T45 a redirect %i is not followed', async (status) => {
    let requests = 0;
    const host = await serve((_, response) => {
      requests += 1;
      response.writeHead(status, { location: '/next' }).end();
    });
    expect(await refusal(`http://${host}/`, { allowedHosts: [host] })).toBe('redirect_refused');
    expect(requests).toBe(1);
  });

  test('T46 a body of 5 MB is refused by its length, and cut off when it has none', async () => {
    let sent = 0;
    const host = await serve((request, response) => {
      if (request.url === '/told') response.writeHead(200, { 'content-length': 5_000_000 });
      const chunk = Buffer.alloc(100_000, 'a');
      const more = () => {
        while (sent < 5_000_000 && !response.destroyed) {
          sent += chunk.length;
          if (!response.write(chunk)) return response.once('drain', more);
        }
        response.end();
      };
      more();
    });
    expect(await refusal(`http://${host}/told`, { allowedHosts: [host] })).toBe('too_large');
    sent = 0;
    expect(await refusal(`http://${host}/`, { allowedHosts: [host] })).toBe('too_large');
  });

  test('a body of just the limit passes, one byte more does not', async () => {
    const host = await serve((request, response) => response.end('a'.repeat(Number(request.url?.slice(1)))));
    const options = { allowedHosts: [host], bytesMax: 1_000 };
    expect((await createSafeFetch(options)(`http://${host}/1000`)).body).toHaveLength(1_000);
    expect(await refusal(`http://${host}/1001`, options)).toBe('too_large');
    expect((await createSafeFetch(options)(`http://${host}/1001`, { bytesMax: 1_001 })).body).toHaveLength(1_001);
  });

  test('T46 a compressed body is refused: it could unpack to anything', async () => {
    const host = await serve((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(1_000_000)));
    });
    expect(await refusal(`http://${host}/`, { allowedHosts: [host] })).toBe('encoding_refused');
  });

  test.each(['headers', 'body', 'nothing'])('T46 a drip of %s ends with the time limit', async (what) => {
    const host = await serve((_, response) => {
      if (what === 'nothing') return;
      if (what === 'body') response.write('a');
      const drip = setInterval(() => {
        if (what === 'body') response.write('a');
        else response.writeProcessing();
      }, 20);
      response.on('close', () => clearInterval(drip));
    });
    const started = performance.now();
    expect(await refusal(`http://${host}/`, { allowedHosts: [host], timeoutMs: 300 })).toBe('timed_out');
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  test('headers without end are refused', async () => {
    const host = await serve((_, response) => response.writeHead(200, { x: 'a'.repeat(40_000) }).end());
    expect(await refusal(`http://${host}/`, { allowedHosts: [host] })).toBe('failed');
  });

  test('nobody listening is the same error with another code', async () => {
    const { port } = await trap();
    expect(await refusal(`http://127.0.0.1:${port}/`, { allowedHosts: [`127.0.0.1:${port}`] })).toBe('failed');
  });

  test('a caller can stop waiting', async () => {
    const host = await serve(() => {});
    const fetching = createSafeFetch({ allowedHosts: [host] })(`http://${host}/`, { signal: AbortSignal.timeout(50) });
    await expect(fetching).rejects.toMatchObject({ code: 'failed' });
  });
});
