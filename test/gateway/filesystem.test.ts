import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectV1, connectV2, type ServedGateway, serveGateway } from './served_gateway.ts';

const require = createRequire(import.meta.url);
const FILESYSTEM_SERVER = join(
  require.resolve('@modelcontextprotocol/server-filesystem/package.json'),
  '..',
  'dist',
  'index.js',
);

let folder: string;
let served: ServedGateway;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-gateway-'));
  await writeFile(join(folder, 'hello.txt'), 'good morning');
  served = await serveGateway({ kind: 'stdio', command: process.execPath, args: [FILESYSTEM_SERVER, folder] });
});

afterAll(async () => {
  await served.close();
  await rm(folder, { recursive: true, force: true });
});

const clients = {
  'the v2 client, 2026-07-28': () => connectV2(served.url, 'modern'),
  'the v2 client, 2025-11-25': () => connectV2(served.url, 'legacy'),
  'the v1 client': () => connectV1(served.url),
} as const;

describe.each(Object.entries(clients))('the published filesystem server through %s', (name, connect) => {
  test('lists, reads and writes', async () => {
    const client = await connect();
    expect(client.getServerVersion()?.name).toBe('secure-filesystem-server');
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name).sort()).toEqual(
      (await served.gateway.tools()).map((tool) => tool.name).sort(),
    );

    const read = await client.callTool({ name: 'read_text_file', arguments: { path: join(folder, 'hello.txt') } });
    expect(read.content).toEqual([{ type: 'text', text: 'good morning' }]);
    expect(read.structuredContent).toEqual({ content: 'good morning' });

    const path = join(folder, `${name.replaceAll(/\W/g, '_')}.txt`);
    const written = await client.callTool({ name: 'write_file', arguments: { path, content: 'ünïcode 🎈\n' } });
    expect(written.isError).toBeFalsy();
    expect(await readFile(path, 'utf8')).toBe('ünïcode 🎈\n');

    const outside = await client.callTool({ name: 'read_text_file', arguments: { path: '/etc/passwd' } });
    expect(outside.isError).toBe(true);
    await client.close();
  });
});

test('the manifest is the raw list and the deployment names the program by its absolute path', async () => {
  const tools = await served.gateway.tools();
  expect(tools).toHaveLength(14);
  expect(tools.find((tool) => tool.name === 'write_file')).toMatchObject({
    annotations: { readOnlyHint: false },
    inputSchema: { $schema: expect.any(String) },
  });
  expect(served.gateway.deployment).toEqual({
    kind: 'stdio',
    command: process.execPath,
    args: [FILESYSTEM_SERVER, folder],
    env_names: [],
  });
});
