import { afterEach, expect, test } from 'vitest';
import type { ToolDefinition } from '../../src/wire/manifest.ts';
import { callTool, rawServer, type ServedGateway, serveGateway, until } from './served_gateway.ts';

let served: ServedGateway;
afterEach(() => served.close());

function descriptionOfEcho(tools: readonly ToolDefinition[] | undefined): unknown {
  return tools?.find(({ name }) => name === 'echo')?.description;
}

test('the list is reported once it is settled, raw, and not again while it stays the same', async () => {
  served = await serveGateway(rawServer());
  const reports: (readonly ToolDefinition[])[] = [];
  served.gateway.onManifest((tools) => reports.push(tools));
  await served.gateway.tools();
  await callTool(served.url, 'echo', {}, { principal: 'ann' });
  await callTool(served.url, 'echo', {}, { principal: 'bob' });
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(reports).toHaveLength(1);
  expect(reports[0]?.[0]).toMatchObject({ name: 'echo', 'x-vendor': { keep: [1, 2] }, execution: expect.anything() });
});

test('a tool that changes in one process is reported, and no call runs on a process that shows it otherwise', async () => {
  served = await serveGateway(rawServer());
  const reports: (readonly ToolDefinition[])[] = [];
  served.gateway.onManifest((tools) => reports.push(tools));
  const before = await callTool(served.url, 'counter', {}, { principal: 'bob' });
  await callTool(served.url, 'change_self', {}, { principal: 'ann' });
  await until(() => reports.length === 2);
  expect(descriptionOfEcho(reports[0])).toBeUndefined();
  expect(descriptionOfEcho(reports[1])).toBe('now something else');

  // Bob's process still has the old tool: it is replaced, and as a new one shows the old tool too, nothing runs.
  const { error } = await callTool(served.url, 'echo', {}, { principal: 'bob' });
  expect(error.message).toContain('The tool changed since this call was evaluated');
  expect(error.data).toEqual({ 'countersign/outcome': 'not_run' });
  // What did not change still runs.
  const { result } = await callTool(served.url, 'counter', {}, { principal: 'bob' });
  expect(JSON.parse(result.content[0].text).pid).not.toBe(JSON.parse(before.result.content[0].text).pid);
  // The fresh process was read last, so its list is the one that counts again.
  expect(descriptionOfEcho(await served.gateway.tools())).toBeUndefined();
  expect((await callTool(served.url, 'echo', {}, { principal: 'bob' })).result).toBeDefined();
});

test('a call right after list_changed waits for the new list', async () => {
  served = await serveGateway(rawServer());
  await callTool(served.url, 'change_self', {}, { principal: 'ann' });
  const { error } = await callTool(served.url, 'echo', {}, { principal: 'ann' });
  expect(error.data).toEqual({ 'countersign/outcome': 'not_run' });
  expect((await callTool(served.url, 'echo', {}, { principal: 'ann' })).result).toBeDefined();
});
