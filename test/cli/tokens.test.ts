import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { OAuthBrowser } from '../support/oauth_browser.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { writeServeConfig } from '../support/serve_config.ts';
import { startUpstreamProvider, UPSTREAM_SECRET, type UpstreamProvider } from '../support/upstream_provider.ts';
import { isPlainFailure, runCommand } from './run_command.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let folder: string;
let config: string;
let database: TestDatabase;
let server: Part<ServerReady>;
let upstream: UpstreamProvider;

beforeAll(async () => {
  folder = await makeScratchDirectory('tokens');
  database = await createTestDatabase();
  const issuerPort = await freePort();
  upstream = await startUpstreamProvider([`http://localhost:${issuerPort}/sign-in/callback/corp`]);
  const secretFile = join(folder, 'secret');
  await writeFile(secretFile, UPSTREAM_SECRET, { mode: 0o600 });
  config = await writeServeConfig(folder, {
    issuerPort,
    connection: database.connection,
    more: [
      'sign_in:',
      '  providers:',
      `    - { id: corp, name: Corp, issuer: "${upstream.issuer}", client_id: countersign, client_secret_file: "${secretFile}",`,
      '        new_people: nobody, directory_claim: oid }',
    ],
  });
  server = await startPart<ServerReady>(['serve', '--config', config, '--port', String(issuerPort)]);
});
afterAll(async () => {
  await server?.stop();
  await upstream?.stop();
  await database?.drop();
});

const tokens = (...args: string[]) => runCommand(['tokens', ...args, '--config', config]);

async function scim(token: string, method: string, path: string, body?: object) {
  const response = await fetch(`${server.ready.issuer}/scim/v2${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as { id: string; active: boolean } };
}

test('a token is printed once, alone; it is listed without itself, and refused once it was revoked', async () => {
  const made = await tokens('make', 'Directory', '--scope', 'scim', '--days', '2');
  expect(made.output).toMatch(/^cst_[A-Za-z0-9_-]{43}\n$/);
  expect(made.errors).toMatch(/^apt_\w+ may: scim\. It works until .*tokens revoke apt_/s);
  const token = made.output.trim();
  const id = /^apt_\w+/.exec(made.errors)![0];
  expect((await scim(token, 'GET', '/Users')).status).toBe(200);
  const listed = await tokens('list');
  expect(listed.errors).toBe('');
  expect(listed.output).toContain(`${id}  live`);
  expect(listed.output).not.toContain(token);
  expect((await tokens('revoke', id)).output).toBe(`${id} is refused from now on.\n`);
  expect((await scim(token, 'GET', '/Users')).status).toBe(401);
});

test('what cannot be is said in words', async () => {
  const wrong = await tokens('make', 'x', '--scope', 'everything');
  expect(isPlainFailure(wrong)).toBe(true);
  expect(wrong.errors).toContain('There is no scope "everything". There are: agents:read');
  expect(isPlainFailure(await tokens('revoke', 'apt_nothing'))).toBe(true);
});

describe('on a running server with an identity provider and a directory', () => {
  test('who was provisioned signs in, is signed out when they are disabled, and does not come back', async () => {
    const { token } = JSON.parse((await tokens('make', 'Directory', '--scope', 'scim', '--json')).output) as {
      token: string;
    };
    const user = await scim(token, 'POST', '/Users', { userName: 'ada@example.com', externalId: 'oid-1' });
    expect(user.status).toBe(201);
    await upstream.signsInNext({ sub: 's', claims: { oid: 'oid-1' } });
    const browser = new OAuthBrowser(server.ready.issuer);
    const signIn = async () => {
      const there = (await browser.get('/sign-in/with/corp')).headers.get('location')!;
      const abroad = new OAuthBrowser(new URL(there).origin);
      const { left } = await abroad.follow(await abroad.get(there));
      return browser.get(left!.href, { accept: 'text/html' });
    };
    expect((await signIn()).status).toBe(303);
    expect((await browser.get('/account')).status).toBe(200);
    const off = { Operations: [{ op: 'Replace', path: 'active', value: 'False' }] };
    expect((await scim(token, 'PATCH', `/Users/${user.body.id}`, off)).body.active).toBe(false);
    expect((await browser.get('/account')).status).toBe(401);
    expect((await signIn()).status).toBe(403);
    await upstream.signsInNext({ sub: 'stranger', claims: { oid: 'oid-2' } });
    expect((await signIn()).status).toBe(403);
  });
});

test.each([
  ['a secret that others can read', 0o644, 'x', 'chmod 600'],
  ['an empty one', 0o600, '', 'is empty'],
])('the server does not start with %s', async (_, mode, text, words) => {
  const file = join(folder, `secret-${mode}-${text.length}`);
  await writeFile(file, text, { mode });
  const broken = await writeServeConfig(folder, {
    issuerPort: await freePort(),
    connection: database.connection,
    more: [
      'sign_in:',
      `  providers: [{ id: corp, name: Corp, issuer: "https://corp.example", client_id: c, client_secret_file: "${file}" }]`,
    ],
  });
  const ended = await runCommand(['serve', '--config', broken, '--port', '0']);
  expect(isPlainFailure(ended)).toBe(true);
  expect(ended.errors).toContain(words);
  expect(ended.errors).toContain('client_secret_file');
});

test('a token that proposes names who answers for it, and is refused without', async () => {
  const alone = await tokens('make', 'Pipeline', '--scope', 'agents:write');
  expect(isPlainFailure(alone)).toBe(true);
  expect(alone.errors).toContain('Say who answers for it');
  const nobody = await tokens('make', 'Pipeline', '--scope', 'agents:write', '--for', 'Nobody');
  expect(nobody.errors).toContain('There is no active person "Nobody"');
});
