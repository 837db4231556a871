import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { expect, test } from 'vitest';
import { z } from 'zod';

const GATEWAY = new URL('../../src/gateway/index.ts', import.meta.url).href;

// Such a server keeps no stream open. A program whose only work is to wait for its tools would end silently, with code 0.
test('a process that waits for the tools of a sessionless HTTP server gets them', async () => {
  const handler = toNodeHandler(
    createMcpHandler(() => {
      const server = new McpServer({ name: 'sessionless', version: '1.0.0' });
      server.registerTool('echo', { inputSchema: z.object({}) }, () => ({ content: [] }));
      return server;
    }),
  );
  const http = createServer((request, response) => void handler(request as never, response));
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`;
  const program = `
    const { createGateway } = await import(${JSON.stringify(GATEWAY)});
    const silent = () => {};
    const log = { debug: silent, info: silent, warn: silent, error: silent };
    createGateway({ upstream: { kind: 'http', url: '${url}', headers: {} }, log }).tools().then((tools) => {
      console.log(tools.map((tool) => tool.name).join());
      process.exit(0);
    });`;
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
    expect(stdout.trim()).toBe('echo');
  } finally {
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  }
});
