import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { decodeJwt } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AgentError, createServiceAgent, generateAgentKey, type ServiceAgent } from '../../src/agent/index.ts';
import { verifyDpopProof } from '../../src/wire/dpop_rfc9449.ts';

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

let server: Server;
let issuer: string;
let seen: Seen[];
let tokens: number;
/** What each server wants in a proof; undefined: nothing. */
let nonces: { token?: string; api?: string; resource?: string };
let seconds: number;
let key: Awaited<ReturnType<typeof generateAgentKey>>['key'];
/** Tokens that the resource refuses. */
let stale: Set<string>;

beforeEach(async () => {
  [seen, tokens, nonces, seconds, stale] = [[], 0, {}, 300, new Set()];
  server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  ({ key } = await generateAgentKey());
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function agentOf(dpop = false): ServiceAgent {
  return createServiceAgent({ issuer, clientId: 'billing-agent', key, dpop });
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { method = '', url: path = '', headers } = request;
  const text = Buffer.concat(chunks).toString();
  const send = (status: number, body: object, more: Record<string, string> = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...more }).end(JSON.stringify(body));
  };
  if (path.startsWith('/.well-known/oauth-authorization-server')) {
    const authorize = { authorization_endpoint: `${issuer}/authorize`, response_types_supported: ['code'] };
    return send(200, { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks`, ...authorize });
  }
  if (path.startsWith('/.well-known/')) return send(404, {});
  seen.push({ method, path, headers, text });
  const nonce = path === '/token' ? nonces.token : path.startsWith('/api') ? nonces.api : nonces.resource;
  if (nonce !== undefined && decodeJwt(String(headers.dpop)).nonce !== nonce) {
    const challenge = { 'dpop-nonce': nonce, 'www-authenticate': 'DPoP error="use_dpop_nonce"' };
    return send(path === '/token' ? 400 : 401, { error: 'use_dpop_nonce' }, challenge);
  }
  if (path === '/token') {
    tokens += 1;
    const token_type = headers.dpop === undefined ? 'Bearer' : 'DPoP';
    return send(200, { access_token: `token-${tokens}`, expires_in: seconds, token_type });
  }
  if (path.startsWith('/api')) {
    const id = path.endsWith('/sub-tasks') ? 'tsk_sub' : 'tsk_one';
    return send(201, { task_id: id, delegation_id: 'dlg_one', expires_at: '2026-11-23T12:00:00.000Z' });
  }
  const token = headers.authorization?.split(' ')[1] ?? '';
  if (stale.has(token)) return send(401, { error: 'token_invalid' }, { 'www-authenticate': 'Bearer' });
  send(200, { echo: text });
}

const RESOURCE = '/mcp';
const requests = (path: string) => seen.filter((one) => one.path === path);
const formOf = (one: Seen | undefined) => Object.fromEntries(new URLSearchParams(one?.text));

describe('a task', () => {
  test('ends with the block that opened it, also when the block fails, and once', async () => {
    const agent = agentOf();
    const failing = async () => {
      await using task = await agent.openTask({ resource: issuer, tools: ['a'], purpose: 'x' });
      await task.close();
      throw new Error('the work failed');
    };
    await expect(failing()).rejects.toThrow('the work failed');
    expect(seen.filter(({ method }) => method === 'DELETE').map(({ path }) => path)).toEqual(['/api/v1/tasks/tsk_one']);
  });

  test('that nobody closed ends with its agent, sub-tasks too', async () => {
    const agent = agentOf();
    const task = await agent.openTask({ resource: issuer, tools: ['a'], purpose: 'x' });
    await task.subTask({ tools: ['a'], purpose: 'a part', delegationId: 'dlg_one', budget: { calls: 2, stepUps: 1 } });
    expect(JSON.parse(requests('/api/v1/tasks/tsk_one/sub-tasks')[0]!.text)).toEqual({
      tools: ['a'],
      purpose: 'a part',
      delegation_id: 'dlg_one',
      budget: { calls: 2, step_ups: 1 },
    });
    await agent.close();
    const ended = seen.filter(({ method }) => method === 'DELETE').map(({ path }) => path);
    expect(ended.sort()).toEqual(['/api/v1/tasks/tsk_one', '/api/v1/tasks/tsk_sub']);
    await agent.close();
    expect(seen.filter(({ method }) => method === 'DELETE')).toHaveLength(2);
  });

  test('starts from a template, or with tools of several servers and a budget', async () => {
    const agent = agentOf();
    await agent.openTask({ template: 'nightly', seconds: 60 });
    const tools = [{ resource: 'http://a.example/mcp', tools: ['read'] }];
    const amounts = [{ tool: 'refund', argument: '/amount', maximum: '500.00' }];
    await agent.openTask({ tools, purpose: 'x', purposeCode: 'billing', budget: { elevatedGrants: 1, amounts } });
    expect(requests('/api/v1/tasks').map(({ text }) => JSON.parse(text))).toEqual([
      { template: 'nightly', seconds: 60 },
      { tools, purpose: 'x', purpose_code: 'billing', budget: { elevated_grants: 1, amounts } },
    ]);
  });
});

describe('tokens', () => {
  test('go to the server they are for, wherever a card or a link says to send them', async () => {
    const resource = `${issuer}${RESOURCE}`;
    const agent = agentOf();
    const task = await agent.openTask({ resource, tools: ['a'], purpose: 'x' });
    const elsewhere = `${issuer.replace('127.0.0.1', 'localhost')}/card`;
    for (const send of [task.fetch(resource), agent.exchange({ resource, subjectToken: 'came-with-the-work' }).fetch]) {
      await expect(send(elsewhere, { method: 'POST', body: '{}' })).rejects.toThrow(/is for http:\/\/127/);
    }
    expect(requests('/card')).toEqual([]);
  });

  test('are renewed before they expire, by whoever needs one, and after a 401', async () => {
    seconds = 0.2;
    const task = await agentOf().openTask({ resource: issuer, tools: ['a'], purpose: 'x' });
    const first = await Promise.all([task.token(`${issuer}${RESOURCE}`), task.token(`${issuer}${RESOURCE}`)]);
    expect(first[0]).toBe(first[1]);
    await sleep(150);
    expect(await task.token(`${issuer}${RESOURCE}`)).not.toBe(first[0]);
    seconds = 300;
    const resource = `${issuer}/other`;
    const refused = await task.token(resource);
    stale.add(refused);
    const body = JSON.stringify({ jsonrpc: '2.0' });
    const answered = await task.fetch(resource)(resource, { method: 'POST', body });
    expect(await answered.json()).toEqual({ echo: body });
    expect(requests('/other').map(({ headers }) => headers.authorization)).toHaveLength(2);
    stale.add(await task.token(resource));
    expect((await task.fetch(resource)(resource)).status).toBe(200);
  });

  test('a server that refuses every token gets two requests, and its answer is given back', async () => {
    const task = await agentOf().openTask({ resource: issuer, tools: ['a'], purpose: 'x' });
    for (let token = 1; token < 20; token += 1) stale.add(`token-${token}`);
    expect((await task.fetch(`${issuer}/never`)(`${issuer}/never`)).status).toBe(401);
    expect(requests('/never')).toHaveLength(2);
  });

  test('that are bound to a key carry fresh proofs, with the nonce that each server wants', async () => {
    // By server in this library; one process answers for all three here.
    nonces = { token: 'same', api: 'same', resource: 'same' };
    const agent = agentOf(true);
    const task = await agent.openTask({ resource: issuer, tools: ['a'], purpose: 'x' });
    const resource = `${issuer}${RESOURCE}`;
    expect((await task.fetch(resource)(resource, { method: 'POST', body: '{}' })).status).toBe(200);
    const last = requests(RESOURCE).at(-1)!;
    const token = await task.token(resource);
    expect(last.headers.authorization).toBe(`DPoP ${token}`);
    const proof = await verifyDpopProof(last.headers.dpop as string, {
      htm: 'POST',
      htu: resource,
      accessToken: token,
      now: new Date(),
    });
    expect(proof).toMatchObject({ ok: true });
    nonces = { resource: 'another' };
    expect((await task.fetch(resource)(resource, { method: 'POST', body: '{}' })).status).toBe(200);
    expect(new Set(seen.map(({ headers }) => headers.dpop)).size).toBe(seen.length);
    expect(() => task.oauthClientProvider(resource)).toThrow(/bound to a key/);
  });

  test('a bound agent takes no bearer token', async () => {
    nonces = {};
    server.removeAllListeners('request');
    server.on('request', (request, response) => {
      const body =
        request.url === '/token'
          ? { access_token: 'stolen', token_type: 'Bearer', expires_in: 300 }
          : { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks` };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await expect(agentOf(true).ownToken()).rejects.toThrow(AgentError);
  });
});

describe('an exchange', () => {
  test('names what is handed on, and is made again with the newest token when its own expires', async () => {
    let subject = 'subject-1';
    const onward = agentOf().exchange({
      subjectToken: () => subject,
      resource: 'http://crm.example/mcp',
      tools: ['read_customer'],
      constraints: [{ tool: 'read_customer', argument: '/id', must: { be: 'one_of', values: ['42'] } }],
      onward: [{ resource: 'http://mail.example/mcp', tools: ['send'] }],
      seconds: 60,
    });
    expect(await onward.token()).toBe('token-1');
    expect(formOf(requests('/token')[0])).toMatchObject({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: 'subject-1',
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      resource: 'http://crm.example/mcp',
      client_id: 'billing-agent',
    });
    expect(JSON.parse(formOf(requests('/token')[0]).authorization_details!)).toEqual([
      {
        type: 'mcp_delegation',
        tools: ['read_customer'],
        constraints: [{ tool: 'read_customer', argument: '/id', must: { be: 'one_of', values: ['42'] } }],
        onward: [{ resource: 'http://mail.example/mcp', tools: ['send'] }],
        seconds: 60,
      },
    ]);
    subject = 'subject-2';
    await onward.onUnauthorized();
    expect(await onward.token()).toBe('token-2');
    expect(formOf(requests('/token')[1]).subject_token).toBe('subject-2');
  });

  test('hands work over with the token of the other agent, which is asked for by its owner alone', async () => {
    const agent = agentOf();
    const task = await agent.openTask({ resource: issuer, tools: ['a'], purpose: 'x' });
    const handed = await task.handOver({ resource: `${issuer}${RESOURCE}`, actorToken: 'actor' });
    const form = formOf(requests('/token').at(-1));
    expect(form).toMatchObject({ actor_token: 'actor', subject_token: expect.stringMatching(/^token-/) });
    expect(form.authorization_details).toBeUndefined();
    expect(handed).toMatch(/^token-/);
  });
});

test('the transport of MCP SDK v1 takes it as an OAuthClientProvider, and asks for a token without a browser', async () => {
  const task = await agentOf().openTask({ resource: issuer, tools: ['a'], purpose: 'x' });
  const resource = `${issuer}${RESOURCE}`;
  const provider = task.oauthClientProvider(resource);
  const transport = new StreamableHTTPClientTransport(new URL(resource), { authProvider: provider as never });
  await transport.start();
  stale.add(await task.token(resource));
  await transport.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
  const forms = requests('/token').map(formOf);
  expect(forms.at(-1)).toMatchObject({ grant_type: 'client_credentials', client_id: 'billing-agent' });
  expect(forms.at(-1)?.client_assertion).toBeDefined();
  const used = requests(RESOURCE).map(({ headers }) => headers.authorization);
  expect(new Set(used).size).toBe(2);
  await transport.close();
});
