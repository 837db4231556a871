import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  answerOf,
  callTool,
  connectV1,
  connectV2,
  messageTexts,
  post,
  rawServer,
  type ServedGateway,
  serveGateway,
} from './served_gateway.ts';

let served: ServedGateway;

beforeAll(async () => {
  served = await serveGateway(rawServer());
});
afterAll(() => served.close());

describe.each([
  ['2026-07-28', true],
  ['2025-11-25', false],
] as const)('what crosses the gateway in %s', (_era, envelope) => {
  test('unknown members, unknown content blocks, _meta and structured content survive', async () => {
    const { result } = await callTool(served.url, 'rich', {}, { envelope });
    expect(result).toMatchObject({
      content: [
        { type: 'hologram', beams: 3, _meta: { 'vendor/x': 1 } },
        { type: 'text', text: 'hi', annotations: { audience: ['user'], 'x-tone': 'calm' } },
      ],
      _meta: { 'vendor/keep': { a: 1 } },
      'x-top': 'kept',
    });
    // The tool's own data is not protocol, whatever its names look like.
    expect(result.structuredContent).toEqual({ _meta: { 'countersign/data': 'of the tool' }, n: 1 });
  });

  test('code and data of an error survive', async () => {
    const { error } = await callTool(served.url, 'fail', {}, { envelope });
    expect(error).toEqual({ code: -32055, message: 'no luck', data: { why: ['a', 1] } });
  });

  test('numbers that a double cannot hold arrive as the tool wrote them', async () => {
    const message = { id: 1, method: 'tools/call', params: { name: 'numbers', arguments: {} } };
    const text = (await messageTexts(await post(served.url, message, { envelope }))).at(-1);
    expect(text).toContain('"big":9007199254740993,"e":1e400,"zero":-0');
  });

  test('the tool list holds all pages, with members no SDK knows', async () => {
    const { result } = await answerOf(await post(served.url, { id: 1, method: 'tools/list' }, { envelope }));
    expect(result.tools.map((tool: { name: string }) => tool.name)).toEqual(
      (await served.gateway.tools()).map((tool) => tool.name),
    );
    expect(result.tools).toHaveLength(20);
    expect(result.nextCursor).toBeUndefined();
    expect(result.tools[0]).toMatchObject({ name: 'echo', 'x-vendor': { keep: [1, 2] } });
  });

  test('progress comes with the token of the client, in order, before the answer', async () => {
    const params = { name: 'progress', arguments: {}, _meta: { progressToken: 'mine' } };
    const texts = await messageTexts(await post(served.url, { id: 7, method: 'tools/call', params }, { envelope }));
    const messages = texts.map((text) => JSON.parse(text));
    expect(messages.slice(0, -1).map(({ params }) => params)).toEqual(
      [1, 2, 3].map((progress) => ({
        progressToken: 'mine',
        progress,
        total: 3,
        message: `step ${progress}`,
        'x-unit': 'cm',
      })),
    );
    expect(messages.at(-1)).toMatchObject({ id: 7, result: { content: [{ text: 'done' }] } });
  });

  test('params that nobody hashed do not reach the tool; canonical arguments do, byte for byte', async () => {
    const params = {
      name: 'echo',
      arguments: { b: 1, a: { 10: 'ten', 9: 'nine' }, é: 'ü' },
      task: { ttl: 1 },
      'x-param': 'smuggled',
      _meta: {
        'vendor/smuggled': true,
        baggage: 'user=ann',
        traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        'countersign/idempotency_key': 'forged',
      },
    };
    const message = { id: 1, method: 'tools/call', params };
    const { result } = await answerOf(
      await post(served.url, message, { envelope, headers: { 'x-redemption': 'red_1' } }),
    );
    const line: string = result.content[0].text;
    expect(line).toContain('"arguments":{"a":{"10":"ten","9":"nine"},"b":1,"é":"ü"}');
    expect(JSON.parse(line).params._meta).toEqual({
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      'countersign/idempotency_key': 'red_1',
    });
    expect(Object.keys(JSON.parse(line).params).sort()).toEqual(['_meta', 'arguments', 'name']);
  });
});

test('the real clients are told what the server says of itself, as far as it is served', async () => {
  const clients = [
    await connectV2(served.url, 'legacy'),
    await connectV2(served.url, 'modern'),
    await connectV1(served.url),
  ];
  for (const client of clients) {
    expect(client.getServerVersion()).toMatchObject({ name: 'raw' });
    expect(client.getInstructions()).toBe('Use with care.');
    expect(client.getServerCapabilities()).toEqual({ tools: {}, resources: {}, logging: {}, prompts: {} });
    await client.close();
  }
});

test('log messages of a call reach it: in 2026-07-28 from the level it names, in 2025 as the server sends them', async () => {
  const logs = async (meta: object, envelope: boolean) => {
    const params = { name: 'log', arguments: {}, _meta: meta };
    const texts = await messageTexts(await post(served.url, { id: 1, method: 'tools/call', params }, { envelope }));
    return texts.map((text) => JSON.parse(text)).flatMap(({ method, params }) => (method ? [params.data] : []));
  };
  expect(await logs({ 'io.modelcontextprotocol/logLevel': 'warning' }, true)).toEqual(['high']);
  expect(await logs({}, true)).toEqual([]);
  expect(await logs({}, false)).toEqual(['low', 'high']);
  const set = await post(served.url, { id: 2, method: 'logging/setLevel', params: { level: 'error' } });
  expect((await answerOf(set)).result).toEqual({});
});
