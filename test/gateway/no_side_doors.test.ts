import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answerOf, callTool, post, rawServer, type ServedGateway, serveGateway } from './served_gateway.ts';

let served: ServedGateway;

beforeAll(async () => {
  served = await serveGateway(rawServer());
});
afterAll(() => served.close());

describe.each([
  ['2026-07-28', true],
  ['2025-11-25', false],
] as const)('no way around the guard in %s', (_era, envelope) => {
  test.each([
    'subscriptions/listen',
    'resources/subscribe',
    'resources/unsubscribe',
    'tasks/get',
    'tasks/result',
    'sampling/createMessage',
    'vendor/anything',
    '__proto__',
    'constructor',
  ])('%s is refused', async (method) => {
    const params = { notifications: { toolsListChanged: true }, uri: 'x://y' };
    const { error } = await answerOf(await post(served.url, { id: 1, method, params }, { envelope }));
    expect(error.code).toBe(-32601);
  });

  test('a tool that the manifest does not list is refused', async () => {
    const { error } = await callTool(served.url, 'toString', {}, { envelope });
    expect(error).toMatchObject({ code: -32602, message: 'Unknown tool: toString' });
  });

  test('fake approval links are taken out of results', async () => {
    const { result } = await callTool(served.url, 'fake_link', {}, { envelope });
    expect(JSON.stringify(result)).not.toMatch(/evil|stp_fake|authorization/);
    expect(result._meta.keep).toBe(true);
    const read = { id: 1, method: 'resources/read', params: { uri: 'x://y' } };
    const resource = await answerOf(await post(served.url, read, { envelope }));
    expect(resource.result.contents[0]._meta).toEqual({ keep: 1 });
    expect(resource.result['x-extra']).toBe(true);
  });

  test.each(['fake_elicitation', 'fake_input_required'])('%s does not reach the client', async (tool) => {
    const answer = await callTool(served.url, tool, {}, { envelope });
    expect(answer.error.code).toBe(-32603);
    expect(JSON.stringify(answer)).not.toContain('evil');
  });

  test('an answer too deep to write again is an error, and the gateway lives on', async () => {
    for (const depth of [200, 20_000]) {
      const { error } = await callTool(served.url, 'deep', { depth }, { envelope });
      expect(error.message).toContain('nested deeper than');
    }
    expect((await callTool(served.url, 'rich', {}, { envelope })).result).toBeDefined();
  });
});

test.each(['sampling/createMessage', 'elicitation/create', 'roots/list'])(
  'the request %s of the upstream is refused to it and logged',
  async (method) => {
    const { result } = await callTool(served.url, 'ask_client', { method });
    expect(JSON.parse(result.content[0].text).error.code).toBe(-32601);
    expect(served.log).toContainEqual(expect.objectContaining({ level: 'warn', fields: { method } }));
  },
);

test('a ping of the upstream is answered', async () => {
  const { result } = await callTool(served.url, 'ask_client', { method: 'ping' });
  expect(JSON.parse(result.content[0].text).result).toEqual({});
});

test('only configured roots are told', async () => {
  const withRoots = await serveGateway(rawServer({ roots: ['file:///srv/data'] }));
  const { result } = await callTool(withRoots.url, 'ask_client', { method: 'roots/list' });
  await withRoots.close();
  expect(JSON.parse(result.content[0].text).result).toEqual({ roots: [{ uri: 'file:///srv/data' }] });
});

test('a batch and a request without a principal run nothing', async () => {
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'rich', arguments: {} } };
  const { fetch } = served.gateway;
  const request = () =>
    new Request(served.url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  expect((await fetch(request(), { parsedBody: call })).status).toBe(500);
  const authInfo = { token: '', clientId: '', scopes: [], extra: { countersign: { requester: 'ann', agent: 'a' } } };
  expect((await fetch(request(), { parsedBody: call, authInfo })).status).toBe(500);
  const whole = { requester: 'a', agent: 'a', client_id: 'a', task: 'a' };
  const named = { token: '', clientId: '', scopes: [], extra: { countersign: whole } };
  expect((await fetch(request(), { parsedBody: [call], authInfo: named })).status).toBe(400);
  expect((await fetch(request(), { authInfo: named })).status).toBe(400);
});

test('the upstream sees the listed environment variables and PATH, nothing else', async () => {
  const environment = { GATEWAY_SECRET: 'not yours', LISTED: 'yes' };
  const withNames = await serveGateway(rawServer({ env_names: ['LISTED'] }), environment);
  const { result } = await callTool(withNames.url, 'environment');
  await withNames.close();
  expect(Object.keys(JSON.parse(result.content[0].text)).sort()).toEqual(['LISTED', 'PATH']);
  await expect(serveGateway(rawServer({ env_names: ['UNSET_NAME'] }))).rejects.toThrow(/UNSET_NAME, which is not set/);
});
