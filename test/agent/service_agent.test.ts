import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, type JWK, jwtVerify } from 'jose';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AgentError, createServiceAgent, generateAgentKey, type ServiceAgent } from '../../src/agent/index.ts';

interface TokenRequest {
  readonly form: URLSearchParams;
  readonly subject: string | undefined;
}

let server: Server;
let issuer: string;
let agent: ServiceAgent;
let publicJwk: JWK;
let tokens: TokenRequest[];
let tasks: { method: string; path: string; authorization: string; body: unknown }[];
let tokenSeconds: number;
let isTokenStale: boolean;

beforeEach(async () => {
  [tokens, tasks, tokenSeconds, isTokenStale] = [[], [], 300, false];
  server = createServer((request, response) => {
    void answer(request).then(
      ([status, body]) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      (error) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const made = await generateAgentKey();
  publicJwk = made.publicJwk as JWK;
  agent = createServiceAgent({ issuer, clientId: 'billing-agent', key: made.key });
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function answer(request: IncomingMessage): Promise<[number, object]> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  if (request.url === '/.well-known/oauth-authorization-server') {
    return [200, { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks` }];
  }
  if (request.url === '/token') {
    const form = new URLSearchParams(text);
    const { payload } = await jwtVerify(form.get('client_assertion')!, createLocalJWKSet({ keys: [publicJwk] }), {
      audience: issuer,
      issuer: 'billing-agent',
    });
    if (payload.aud !== issuer) throw new Error('the assertion must be for the issuer alone');
    tokens.push({ form, subject: payload.sub });
    if (form.get('authorization_details')?.includes('tsk_ended')) {
      return [400, { error: 'invalid_authorization_details', error_description: 'The task has ended.' }];
    }
    return [200, { access_token: `token-${tokens.length}`, expires_in: tokenSeconds, token_type: 'Bearer' }];
  }
  tasks.push({
    method: request.method!,
    path: request.url!,
    authorization: request.headers.authorization!,
    body: text === '' ? null : JSON.parse(text),
  });
  if (isTokenStale && request.headers.authorization === 'Bearer token-1') {
    return [401, { error: 'token_expired', error_description: 'It expired.', next: 'Refresh it.' }];
  }
  if (text.includes('unknown_tool')) {
    return [
      403,
      { error: 'tool_unknown', error_description: 'There is no such tool.', next: 'Use one that is listed.' },
    ];
  }
  return [request.method === 'POST' ? 201 : 200, { task_id: 'tsk_one', expires_at: '2026-11-23T12:00:00.000Z' }];
}

const TASK = { resource: 'http://localhost:9401/mcp', tools: ['read_file'], purpose: 'Read the report' };

test('starts and ends a task with one token for the API of the issuer', async () => {
  const started = await agent.startTask({ ...TASK, purposeCode: 'reporting', seconds: 600 });
  expect(started).toEqual({ taskId: 'tsk_one', expiresAt: new Date('2026-11-23T12:00:00.000Z') });
  await agent.endTask('tsk_one');
  expect(tasks).toEqual([
    {
      method: 'POST',
      path: '/api/v1/tasks',
      authorization: 'Bearer token-1',
      body: { ...TASK, purpose_code: 'reporting', seconds: 600 },
    },
    { method: 'DELETE', path: '/api/v1/tasks/tsk_one', authorization: 'Bearer token-1', body: null },
  ]);
  expect(tokens).toHaveLength(1);
  expect(tokens[0]!.subject).toBe('billing-agent');
  expect(Object.fromEntries(tokens[0]!.form)).toMatchObject({
    resource: `${issuer}/api/v1`,
    scope: 'tasks',
    grant_type: 'client_credentials',
  });
});

test('the tokens of a task name it and its tool server, are kept, and are renewed after a 401 or near their end', async () => {
  const provider = agent.authProvider('tsk_one', TASK.resource);
  expect(await Promise.all([provider.token(), provider.token()])).toEqual(['token-1', 'token-1']);
  expect(JSON.parse(tokens[0]!.form.get('authorization_details')!)).toEqual([{ type: 'mcp_task', task_id: 'tsk_one' }]);
  expect(tokens[0]!.form.get('resource')).toBe(TASK.resource);
  await provider.onUnauthorized();
  expect(await provider.token()).toBe('token-2');
  tokenSeconds = 0.1;
  await provider.onUnauthorized();
  expect(await provider.token()).toBe('token-3');
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(await provider.token()).toBe('token-4');
});

test('a refusal arrives with its code and what to do next; an ended task gives no token', async () => {
  const refused = await agent.startTask({ ...TASK, tools: ['unknown_tool'] }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(AgentError);
  expect(refused).toMatchObject({
    code: 'tool_unknown',
    message: 'There is no such tool.',
    next: 'Use one that is listed.',
  });
  await expect(agent.authProvider('tsk_ended', TASK.resource).token()).rejects.toMatchObject({
    code: 'invalid_authorization_details',
  });
});

test('a token that stopped working is replaced once', async () => {
  isTokenStale = true;
  await agent.startTask(TASK);
  expect(tasks.map((task) => task.authorization)).toEqual(['Bearer token-1', 'Bearer token-2']);
});

test('an issuer that is not there is an error that says so', async () => {
  const { key } = await generateAgentKey();
  const lost = createServiceAgent({ issuer: 'http://127.0.0.1:9', clientId: 'x', key });
  await expect(lost.startTask(TASK)).rejects.toMatchObject({ code: 'unavailable' });
});
