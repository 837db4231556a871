import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runAuthorizationConformance } from '../support/conformance.ts';
import { consentFields } from '../support/oauth_flow.ts';
import {
  addPerson,
  addToolServer,
  type OAuthServer,
  signedInBrowser,
  startOAuthServer,
  type TestToolServer,
  testClient,
} from '../support/oauth_server.ts';

let server: OAuthServer;
let toolServer: TestToolServer;
let personId: string;

beforeAll(async () => {
  server = await startOAuthServer({
    clients: [
      testClient('conformance', {
        redirect_uris: ['http://127.0.0.1:3999/callback', 'http://localhost:3999/callback'],
      }),
    ],
  });
  toolServer = await addToolServer(server.store);
  personId = await addPerson(server.store);
});
afterAll(() => server.close());

test.each(['2025-11-25', '2026-07-28'])(
  'the conformance suite for authorization servers passes for MCP %s',
  async (specVersion) => {
    const { code, output } = await runAuthorizationConformance({
      issuer: server.issuer,
      clientId: 'conformance',
      resource: toolServer.resource,
      callbackPort: await freePort(),
      specVersion,
      authorize,
    });
    expect(output).toContain('authorization-code-grant');
    expect(output).not.toMatch(/FAILURE|WARNING/);
    expect(code, output).toBe(0);
  },
);

async function authorize(address: string): Promise<void> {
  const browser = await signedInBrowser(server, personId);
  const { response } = await browser.follow(await browser.get(address));
  const view = await response.json();
  const posted = await browser.post(`${server.issuer}/interaction/${view.uid}/consent`, consentFields(view));
  const { left } = await browser.follow(posted);
  await fetch(left!);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
