import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type RunningServer, startServer } from '../../src/server/start.ts';
import { runAuthorizationConformance } from '../support/conformance.ts';
import { addPerson, addToolServer, signedInBrowser, type TestToolServer } from '../support/oauth_server.ts';

// The whole server as `countersign` starts it, with its own pages; the consent form is read and posted as HTML.

let server: RunningServer;
let toolServer: TestToolServer;
let personId: string;
let dataDirectory: string;

beforeAll(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), 'countersign-conformance-'));
  const port = await freePort();
  const config = parseConfig({
    overrides: {
      issuer: `http://localhost:${port}`,
      listen: { host: '127.0.0.1', port },
      data_directory: dataDirectory,
      clients: [
        {
          client_id: 'conformance',
          client_name: 'Conformance suite',
          redirect_uris: ['http://127.0.0.1:3999/callback'],
        },
      ],
    },
  });
  if (!config.ok) throw new Error(JSON.stringify(config.refusal));
  server = await startServer({ config: config.value, log: silentLogger });
  toolServer = await addToolServer(server.store);
  personId = await addPerson(server.store);
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await rm(dataDirectory, { recursive: true, force: true });
}, 60_000);

test.each(['2025-11-25', '2026-07-28'])('the authorization server scenarios pass for MCP %s', async (specVersion) => {
  const { code, output } = await runAuthorizationConformance({
    issuer: server.issuer,
    clientId: 'conformance',
    resource: toolServer.resource,
    callbackPort: await freePort(),
    specVersion,
    authorize,
  });
  expect(output).toContain('authorization-server-metadata-endpoint: 2 passed, 0 failed');
  expect(output).toContain('authorization-code-grant: 1 passed, 0 failed');
  expect(output).not.toMatch(/FAILURE|WARNING/);
  expect(code, output).toBe(0);
});

async function authorize(address: string): Promise<void> {
  const browser = await signedInBrowser(server, personId);
  const { response } = await browser.follow(await browser.get(address));
  const page = await response.text();
  const [action, fields] = readAllowForm(page);
  const { left } = await browser.follow(await browser.post(`${server.issuer}${action}`, fields));
  if (left === null) throw new Error('The consent did not lead back to the client.');
  await fetch(left);
}

/** The first form of the page: where it posts to, and what is sent when nothing is changed. */
function readAllowForm(page: string): [action: string, fields: Record<string, string>] {
  const form = /<form method="post" action="(\/interaction\/[^"]+)"[\s\S]*?<\/form>/.exec(page);
  if (form === null) throw new Error(`No consent form: ${page.slice(0, 2000)}`);
  const fields: Record<string, string> = {};
  for (const [tag] of form[0].matchAll(/<input [^>]*>/g)) {
    const name = /name="([^"]*)"/.exec(tag)?.[1];
    const isChoice = /type="(checkbox|radio)"/.test(tag);
    if (name !== undefined && (!isChoice || / checked/.test(tag)))
      fields[name] = /value="([^"]*)"/.exec(tag)?.[1] ?? '';
  }
  return [form[1]!, fields];
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
