import { request } from 'node:http';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { answerOf, type GuardedServer, startGuardedServer } from './guarded_server.ts';

let server: GuardedServer;
beforeAll(async () => {
  server = await startGuardedServer();
});
afterAll(() => server.close());
beforeEach(() => {
  server.issuer.asked.length = 0;
});

const call = (args: string, method = 'tools/call') =>
  `{"jsonrpc":"2.0","id":1,"method":"${method}","params":{"name":"read_notes","arguments":${args}}}`;

async function refusedAtEdge(body: string, status = 400, headers: Record<string, string> = {}): Promise<number> {
  const response = await server.post(body, headers);
  expect(response.status).toBe(status);
  expect(server.issuer.asked).toHaveLength(0);
  return ((await response.json()) as { error: { code: number } }).error.code;
}

test('duplicate names, also written in another way, are refused before anything routes the message', async () => {
  expect(await refusedAtEdge(call('{"a":1,"a":2}'))).toBe(-32700);
  expect(await refusedAtEdge(call('{"a":1,"\\u0061":2}'))).toBe(-32700);
  expect(await refusedAtEdge('{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}')).toBe(-32700);
});

test('numbers that readers disagree on, lone surrogates and __proto__ are refused', async () => {
  for (const args of ['{"n":9007199254740993}', '{"n":1e400}', '{"s":"\\ud800"}', '{"__proto__":{}}']) {
    expect(await refusedAtEdge(call(args)), args).toBe(-32700);
  }
});

test('batches, answers and malformed messages are refused', async () => {
  expect(await refusedAtEdge(`[${call('{}')}]`)).toBe(-32600);
  expect(await refusedAtEdge('[]')).toBe(-32600);
  expect(await refusedAtEdge('{"jsonrpc":"2.0","id":1,"result":{}}')).toBe(-32600);
  expect(await refusedAtEdge('{"jsonrpc":"2.0","id":null,"method":"ping"}')).toBe(-32600);
  expect(await refusedAtEdge('{"jsonrpc":"2.0","method":"tools/call","params":{"name":"write_note"}}')).toBe(-32600);
  expect(await refusedAtEdge('{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}')).toBe(-32600);
});

test('a body that is too large or not JSON by its type is refused', async () => {
  expect(await refusedAtEdge(call(`{"s":"${'x'.repeat(1024 * 1024)}"}`), 413)).toBe(-32000);
  expect(await refusedAtEdge(call('{}'), 415, { 'content-type': 'text/plain' })).toBe(-32000);
});

test('headers that disagree with the body are refused in both eras', async () => {
  expect(await refusedAtEdge(call('{}'), 400, { 'mcp-method': 'ping' })).toBe(-32020);
  expect(await refusedAtEdge(call('{}'), 400, { 'mcp-name': 'write_note' })).toBe(-32020);
  const encoded = `=?base64?${Buffer.from('write_note').toString('base64')}?=`;
  expect(await refusedAtEdge(call('{}'), 400, { 'mcp-name': encoded })).toBe(-32020);
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const params = { name: 'read_notes', arguments: {}, _meta: meta };
  const modern = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
  const version = { 'mcp-protocol-version': '2026-07-28' };
  expect(await refusedAtEdge(modern, 400, version), 'Mcp-Method is required').toBe(-32020);
  expect(await refusedAtEdge(modern, 400, { ...version, 'mcp-method': 'tools/call' }), 'Mcp-Name too').toBe(-32020);
  const agreeing = { ...version, 'mcp-method': 'tools/call', 'mcp-name': 'read_notes' };
  expect((await server.post(modern, agreeing)).status).toBe(200);
});

test('gated arguments of more than 64 KiB, or that the schema does not declare, or twins but for case, are refused', async () => {
  const fits = await answerOf(await server.call('write_note', { text: 'x'.repeat(64 * 1024 - 11) }));
  expect(fits.result._meta['countersign/step_up'], 'exactly 64 KiB can wait for approval').toBeDefined();
  const tooLarge = await answerOf(await server.call('write_note', { text: 'x'.repeat(64 * 1024 - 10) }));
  expect(tooLarge.result._meta['countersign/refusal']?.error).toBe('arguments_too_large');
  const undeclared = await answerOf(await server.call('write_note', { text: 'a', evil: true }));
  expect(undeclared.result._meta['countersign/refusal']?.error).toBe('arguments_undeclared');
  const twins = await answerOf(await server.call('write_note', { text: 'a', Text: 'b' }));
  expect(twins.result._meta['countersign/refusal']?.error).toBe('json_invalid');
  expect(server.issuer.count('challenges'), 'only the first was opened').toBe(1);
  expect(server.runs).toHaveLength(0);
});

test('another host and pages of another origin are refused', async () => {
  const { port } = new URL(server.resource);
  const status = await new Promise((resolve, reject) => {
    const sent = request({
      port,
      host: '127.0.0.1',
      path: '/mcp',
      method: 'POST',
      headers: { host: `evil.example:${port}` },
    });
    sent.on('response', (response) => resolve(response.resume().statusCode)).on('error', reject);
    sent.end();
  });
  expect(status).toBe(421);
  expect((await server.post(call('{}'), { origin: 'https://evil.example' })).status).toBe(403);
  expect((await server.post(call('{}'), { origin: new URL(server.resource).origin })).status).toBe(200);
});

test('only POST reaches the endpoint', async () => {
  for (const method of ['GET', 'DELETE', 'PUT']) {
    const response = await fetch(server.resource, {
      method,
      headers: { authorization: `Bearer ${await server.issuer.token()}` },
    });
    expect(response.status, method).toBe(405);
  }
});

test('methods nobody thought of are refused; data-bearing ones are asked for', async () => {
  const send = async (method: string, params: object) =>
    answerOf(await server.post(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })));
  for (const method of ['tasks/get', 'sampling/createMessage', 'vendor/do', 'roots/list', 'toString']) {
    expect((await send(method, {})).error?.code, method).toBe(-32601);
  }
  for (const method of ['resources/list', 'resources/templates/list', 'prompts/list']) {
    expect((await send(method, {})).error?.data?.error, method).toBe('method_not_allowed');
  }
  expect(server.issuer.asked).toHaveLength(0);
  server.issuer.denied.set('note://one', 'policy_denied');
  expect((await send('resources/read', { uri: 'note://one' })).error?.data).toMatchObject({
    'countersign/refusal': { error: 'policy_denied' },
  });
  server.issuer.denied.clear();
  expect(await send('resources/read', { uri: 'note://one' })).toHaveProperty('result.contents');
  expect(server.issuer.count('evaluate')).toBe(2);
});

test('the list shows what the task may use, whatever the server lists', async () => {
  const listed = await answerOf(await server.post('{"jsonrpc":"2.0","id":1,"method":"tools/list"}'));
  expect(listed.result.tools.map((tool) => tool.name)).toEqual(['read_notes', 'write_note']);
  server.issuer.visible = ['read_notes'];
  const narrowed = await answerOf(await server.post('{"jsonrpc":"2.0","id":1,"method":"tools/list"}'));
  expect(narrowed.result.tools.map((tool) => tool.name)).toEqual(['read_notes']);
});
