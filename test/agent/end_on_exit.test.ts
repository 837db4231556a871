import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

const LIBRARY = pathToFileURL('src/agent/index.ts').href;
const PROGRAM = `
  import { createServiceAgent, generateAgentKey } from '${LIBRARY}';
  const { key } = await generateAgentKey();
  const agent = createServiceAgent({ issuer: process.argv[1], clientId: 'x', key });
  agent.endOnExit();
  await agent.openTask({ resource: 'http://localhost/mcp', tools: ['a'], purpose: 'x' });
  console.log('working');
  setInterval(() => {}, 1000);
`;

test.each(['SIGTERM', 'SIGINT'] as const)('%s ends the tasks of an agent, and then its process', async (signal) => {
  const ended: string[] = [];
  const server = createServer((request, response) => {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    if (request.method === 'DELETE') ended.push(request.url ?? '');
    const body = request.url?.startsWith('/.well-known')
      ? { issuer: origin, token_endpoint: `${origin}/token`, jwks_uri: `${origin}/jwks` }
      : {
          access_token: 't',
          expires_in: 300,
          token_type: 'Bearer',
          task_id: 'tsk_one',
          expires_at: '2026-11-23T12:00:00Z',
        };
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM, issuer], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  for await (const chunk of child.stdout) if (String(chunk).includes('working')) break;
  child.kill(signal);
  expect(await exited).toEqual([null, signal]);
  expect(ended).toEqual(['/api/v1/tasks/tsk_one']);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
