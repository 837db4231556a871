import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { GUARD_API, REGISTRATION_PATH } from '../../src/wire/guard_api.ts';
import { startWorld, type World } from '../e2e/world.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let port: number;

beforeAll(async () => {
  world = await startWorld({ hasGateway: false });
  port = world.server.port;
});
afterAll(() => world?.close());

interface Sent {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

/** By address, with any Host. */
function send(path: string, host: string, method = 'GET'): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, path, method, headers: { host } }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.once('error', reject).end();
  });
}

describe('T60: the name of the server', () => {
  test.each([
    '/',
    '/sign-in',
    '/jwks',
    '/token',
    '/.well-known/oauth-authorization-server',
    GUARD_API.evaluate,
    REGISTRATION_PATH,
    '/api/v1/tasks',
  ])('T60: %s answers no other name than the one that was configured', async (path) => {
    for (const host of [
      '127.0.0.1',
      `127.0.0.1:${port}`,
      `evil.example:${port}`,
      `localhost:${port}.evil.example`,
      'localhost',
    ]) {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const { status, body } = await send(path, host, method);
        expect(status).toBe(421);
        expect(JSON.parse(body)).toMatchObject({ error: 'host_unknown', next: expect.any(String) });
      }
    }
  });

  test('probes come by address and are answered', async () => {
    expect(await send('/livez', '10.0.0.1')).toMatchObject({ status: 200, body: '{"status":"ok"}' });
    expect(await send('/readyz', `127.0.0.1:${port}`)).toMatchObject({ status: 200, body: '{"status":"ok"}' });
  });
});

describe('what leads nowhere', () => {
  test.each([
    ['GET', '/nowhere'],
    ['POST', '/nowhere'],
    ['GET', GUARD_API.evaluate],
    ['DELETE', GUARD_API.manifest],
    ['PUT', '/api/v1/tasks'],
    ['POST', '/livez'],
    ['TRACE', '/'],
    ['GET', '/guard/v2/evaluate'],
    ['GET', '/%2e%2e/etc/passwd'],
    ['GET', '//evil.example/'],
  ])('%s %s is answered with a code and what to do', async (method, path) => {
    const { status, body } = await send(path, `localhost:${port}`, method);
    expect(status).toBe(404);
    expect(JSON.parse(body)).toMatchObject({ error: 'not_found', next: expect.any(String) });
  });

  test.each([GUARD_API.evaluate, REGISTRATION_PATH, '/api/v1/tasks', '/', '/sign-in'])(
    'a script of another site is not let in by OPTIONS %s',
    async (path) => {
      const { status, headers } = await send(path, `localhost:${port}`, 'OPTIONS');
      expect(status).toBe(404);
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
    },
  );

  test('U+0000 in an address is bad input, on pages too', async () => {
    for (const path of ['/step-ups/%00', '/link/%00', '/nowhere?x=%00']) {
      const { status, body } = await send(path, `localhost:${port}`);
      expect(status).toBe(400);
      expect(JSON.parse(body)).toMatchObject({ error: 'request_invalid' });
    }
  });

  test('a person gets a page', async () => {
    const answer = await fetch(`${world.issuer}/nowhere`, { headers: { accept: 'text/html' } });
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain('<html');
  });
});
