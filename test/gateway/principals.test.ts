import { afterAll, beforeAll, expect, test } from 'vitest';
import { callTool, post, rawServer, type ServedGateway, serveGateway, until } from './served_gateway.ts';

let served: ServedGateway;

beforeAll(async () => {
  served = await serveGateway(rawServer());
});
afterAll(() => served.close());

async function count(principal: string, url = served.url) {
  const { result, error } = await callTool(url, 'counter', {}, { principal });
  if (error) throw new Error(error.message);
  return JSON.parse(result.content[0].text) as { pid: number; calls: number; cancelled: unknown[] };
}

test('T62: 100 clients with the same JSON-RPC ids get no crossed answers', async () => {
  const wanted = Array.from({ length: 100 }, (_, index) => ({ principal: `p${index % 4}/t`, n: index }));
  const answers = await Promise.all(
    wanted.map(({ principal, n }) => callTool(served.url, 'echo', { n, principal }, { principal, id: 1 })),
  );
  answers.forEach((answer, index) => {
    const { n, principal } = wanted[index]!;
    expect(answer.id).toBe(1);
    expect(answer.result.structuredContent.arguments).toEqual({ n, principal });
  });
});

test('two principals, and two tasks of one, each have a process of their own', async () => {
  const [ann, bob, annToo, annElsewhere] = [
    await count('ann/t1'),
    await count('bob/t1'),
    await count('ann/t1'),
    await count('ann/t2'),
  ];
  expect(new Set([ann.pid, bob.pid, annElsewhere.pid]).size).toBe(3);
  expect(annToo).toMatchObject({ pid: ann.pid, calls: 2 });
  expect([bob.calls, annElsewhere.calls]).toEqual([1, 1]);
});

test('many first calls at once share one start', async () => {
  const pids = await Promise.all(Array.from({ length: 20 }, () => count('eve/t1')));
  expect(new Set(pids.map(({ pid }) => pid)).size).toBe(1);
});

test('2025: a cancellation on another request stops exactly the call it names', async () => {
  const slow = (principal: string, milliseconds = 20_000) =>
    callTool(served.url, 'slow', { milliseconds }, { principal, id: 'same' });
  const cancel = (principal: string) =>
    post(served.url, { method: 'notifications/cancelled', params: { requestId: 'same' } }, { principal });

  const mine = slow('cal/t1');
  const other = slow('dan/t1', 1_500);
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect((await cancel('cal/t1')).status).toBe(202);
  const cancelled = await mine;
  expect(cancelled.error).toMatchObject({ code: -32000, data: { 'countersign/outcome': 'unknown' } });
  expect((await count('cal/t1')).cancelled).toHaveLength(1);
  expect((await other).result.content[0].text).toBe('slept');
  expect((await count('dan/t1')).cancelled).toEqual([]);

  // Two with one id: nobody can say which is meant, so neither stops.
  const both = [slow('cal/t1', 900), slow('cal/t1', 900)];
  await new Promise((resolve) => setTimeout(resolve, 300));
  await cancel('cal/t1');
  for (const answer of await Promise.all(both)) expect(answer.result.content[0].text).toBe('slept');
});

test('2026: a closed stream cancels the call upstream, and late progress goes nowhere', async () => {
  const abort = new AbortController();
  const params = { name: 'slow', arguments: { milliseconds: 20_000 }, _meta: { progressToken: 1 } };
  const call = post(
    served.url,
    { id: 1, method: 'tools/call', params },
    { principal: 'fay/t1', envelope: true, signal: abort.signal },
  );
  call.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 700));
  abort.abort();
  await expect(call).rejects.toThrow();
  await until(async () => (await count('fay/t1')).cancelled.length === 1);
});

test('2025: a lost connection is no cancellation', async () => {
  const abort = new AbortController();
  const call = callTool(served.url, 'slow', { milliseconds: 20_000 }, { principal: 'gus/t1', signal: abort.signal });
  call.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 700));
  abort.abort();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect((await count('gus/t1')).cancelled).toEqual([]);
});

test('processes per principal and in all are limited: idle ones make room, busy ones refuse', async () => {
  const small = await serveGateway(rawServer({ processes_per_principal_max: 2, processes_max: 3 }));
  try {
    const first = await count('ann/t1', small.url);
    await count('ann/t2', small.url);
    await count('ann/t3', small.url);
    expect((await count('ann/t1', small.url)).pid).not.toBe(first.pid);

    const busy = ['ann/t1', 'ann/t3'].map((principal) =>
      callTool(small.url, 'slow', { milliseconds: 2_000 }, { principal }),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    await expect(count('ann/t4', small.url)).rejects.toThrow(/of this agent are busy.*Nothing was run/);
    busy.push(callTool(small.url, 'slow', { milliseconds: 1_500 }, { principal: 'bob/t1' }));
    await new Promise((resolve) => setTimeout(resolve, 500));
    await expect(count('cal/t1', small.url)).rejects.toThrow(/of this gateway are busy/);
    for (const answer of await Promise.all(busy)) expect(answer.result).toBeDefined();
  } finally {
    await small.close();
  }
});
