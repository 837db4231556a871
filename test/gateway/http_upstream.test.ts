import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type HttpFixture, startHttpServer } from '../fixtures/http_server.ts';
import {
  callTool,
  connectV1,
  connectV2,
  messageTexts,
  post,
  type ServedGateway,
  serveGateway,
  until,
} from './served_gateway.ts';

let upstream: HttpFixture;
let served: ServedGateway;

beforeEach(async () => {
  upstream = await startHttpServer();
  const headers = { Authorization: 'Bearer of-the-upstream' };
  served = await serveGateway({ kind: 'http', url: upstream.url.href, headers });
});

afterEach(async () => {
  await served.close();
  await upstream.close();
});

test('the real clients work on an HTTP upstream', async () => {
  const clients = [
    await connectV2(served.url, 'modern'),
    await connectV2(served.url, 'legacy'),
    await connectV1(served.url),
  ];
  for (const client of clients) {
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo', 'progress', 'slow', 'ask']);
    const result = await client.callTool({ name: 'echo', arguments: { n: 1 } });
    expect(result).toMatchObject({ structuredContent: { arguments: { n: 1 } }, _meta: { 'vendor/x': 1 } });
    await client.close();
  }
  expect(served.gateway.deployment).toEqual({ kind: 'http', url: upstream.url.href });
});

test("the upstream gets its configured headers and never the caller's token", async () => {
  await callTool(served.url, 'echo', {}, { headers: { authorization: 'Bearer of-the-caller' } });
  const posts = upstream.requests.filter(({ method }) => method === 'POST');
  expect(new Set(posts.map(({ headers }) => headers.authorization))).toEqual(new Set(['Bearer of-the-upstream']));
  expect(posts.at(-1)?.headers).toMatchObject({
    'mcp-protocol-version': '2025-11-25',
    'mcp-session-id': expect.any(String),
  });
  expect(JSON.stringify(upstream.requests)).not.toContain('of-the-caller');
});

test('two principals have two sessions, which end with the gateway', async () => {
  const sessionOf = async (principal: string) =>
    (await callTool(served.url, 'echo', {}, { principal })).result.structuredContent.session;
  const ann = await sessionOf('ann');
  expect(await sessionOf('ann')).toBe(ann);
  expect(await sessionOf('bob')).not.toBe(ann);
  expect(upstream.sessions()).toBe(3);
  await served.gateway.close();
  expect(upstream.sessions()).toBe(0);
});

test.each([true, false])('progress is relayed with the token of the client (2026: %s)', async (envelope) => {
  const params = { name: 'progress', arguments: {}, _meta: { progressToken: 'mine' } };
  const texts = await messageTexts(await post(served.url, { id: 5, method: 'tools/call', params }, { envelope }));
  const messages = texts.map((text) => JSON.parse(text));
  expect(messages.map(({ params }) => params)).toEqual([
    { progressToken: 'mine', progress: 1 },
    { progressToken: 'mine', progress: 2 },
    undefined,
  ]);
});

test('a cancelled call is cancelled upstream', async () => {
  const call = callTool(served.url, 'slow', {}, { id: 9 });
  await until(() => upstream.requests.length > 8).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 300));
  await post(served.url, { method: 'notifications/cancelled', params: { requestId: 9 } });
  expect((await call).error.data).toEqual({ 'countersign/outcome': 'unknown' });
  await until(() => upstream.cancelled.length === 1);
});

test('a request of the upstream on the stream of a call is refused', async () => {
  const { result } = await callTool(served.url, 'ask');
  expect(result.content[0].text).toMatch(/-32601|does not support roots/);
});

test('list_changed on the GET stream brings the new list', async () => {
  await served.gateway.tools();
  const names: string[][] = [];
  served.gateway.onManifest((tools) => names.push(tools.map(({ name }) => name)));
  await until(() => upstream.requests.some(({ method }) => method === 'GET'));
  await new Promise((resolve) => setTimeout(resolve, 200));
  await upstream.addTool('later');
  await until(() => names.at(-1)?.includes('later') === true);
  expect(names).toHaveLength(2);
});

describe('what a broken answer means for the outcome', () => {
  const unknown = { 'countersign/outcome': 'unknown' };
  const notRun = { 'countersign/outcome': 'not_run' };
  test.each([
    ['a dropped connection', 'drop', unknown],
    ['a stream that ends without an answer', 'end', unknown],
    ['HTTP 500', { status: 500 }, unknown],
    ['HTTP 401', { status: 401 }, notRun],
    ['a redirect', { status: 307, headers: { location: 'http://127.0.0.1:1/' } }, notRun],
    ['HTTP 400', { status: 400 }, undefined],
    ['a body that is no JSON', { status: 200, body: '<html>', headers: { 'content-type': 'text/html' } }, unknown],
  ] as const)('%s', async (_name, answer, data) => {
    await callTool(served.url, 'echo');
    upstream.answerNextCall(answer);
    const { error } = await callTool(served.url, 'echo');
    expect(error.code).toBe(-32000);
    expect(error.data).toEqual(data);
    expect((await callTool(served.url, 'echo')).result).toBeDefined();
  });

  test('a forgotten session was not run; the next call opens a new one', async () => {
    const before = (await callTool(served.url, 'echo')).result.structuredContent.session;
    upstream.forgetSessions();
    const { error } = await callTool(served.url, 'echo');
    expect(error.data).toEqual(notRun);
    const after = (await callTool(served.url, 'echo')).result.structuredContent.session;
    expect(after).not.toBe(before);
  });

  test('an upstream that is not there was not run', async () => {
    await callTool(served.url, 'echo');
    await upstream.close();
    const { error } = await callTool(served.url, 'echo');
    expect(error.data).toEqual(notRun);
  });
});

test('an upstream that answers in plain JSON and has no progress works too', async () => {
  const plain = await startHttpServer({ json: true });
  const gateway = await serveGateway({ kind: 'http', url: plain.url.href });
  expect((await callTool(gateway.url, 'echo', { a: 1 })).result.structuredContent.arguments).toEqual({ a: 1 });
  await gateway.close();
  await plain.close();
});

test.each([
  [{ kind: 'http', url: 'not a url' }, /is not a URL/],
  [{ kind: 'http', url: 'ftp://x' }, /must start with/],
  [{ kind: 'http', url: 'https://user:secret@x' }, /holds a password/],
  [{ kind: 'http', url: 'https://x', headers: { Host: 'y' } }, /sets the header host itself/],
] as const)('a configuration that cannot work is refused: %j', async (config, message) => {
  await expect(serveGateway(config)).rejects.toThrow(message);
});
