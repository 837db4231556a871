import { createServer, type Server } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { textOf } from '../../examples/demo/scripted_person.ts';
import { freePort } from '../../src/cli/dev.ts';
import { createGuard, type Guard, type GuardKey, generateGuardKey } from '../../src/guard/index.ts';
import type { World } from './world.ts';

export interface NotesOptions {
  readonly name?: string;
  /** As deployed elsewhere: same address and key, another program. */
  readonly instead?: NotesServer;
  readonly version?: string;
}

/** An MCP server of SDK v2 with the guard inside, accepted by the administrator. */
export interface NotesServer {
  readonly resource: string;
  readonly key: GuardKey;
  readonly name: string;
  readonly guard: Guard;
  readonly toolServerId: string;
  /** What the writing tool was really run with. */
  readonly runs: unknown[];
  /** How the writing tool describes itself; changed by tests. */
  tool: { description: string; hasFolder: boolean };
  /** A JSON-RPC message as these bytes. */
  post(token: string, body: string): Promise<Response>;
  /** A tool call whose arguments are this JSON text, to the byte. */
  callRaw(token: string, name: string, argumentsText: string): Promise<Response>;
  close(): Promise<void>;
}

export async function startNotes(world: World, options: NotesOptions = {}): Promise<NotesServer> {
  const { instead } = options;
  const port = instead === undefined ? await freePort() : Number(new URL(instead.resource).port);
  const resource = `http://localhost:${port}/mcp`;
  const key = instead?.key ?? (await generateGuardKey());
  const name = instead?.name ?? options.name ?? 'notes';
  const registered = Promise.withResolvers<{ tool_server: string; console_url: string }>();
  const guard = await createGuard({
    issuer: world.issuer,
    resource,
    key,
    name,
    ...(options.version === undefined ? {} : { version: options.version }),
    proposedRisks: { read_notes: 'read', write_note: 'write', erase_notes: 'critical' },
    onRegistration: (answer) => registered.resolve(answer),
  });
  const http: Server = createServer();
  const runs: unknown[] = [];
  const tool = { description: 'Writes a note', hasFolder: false };
  http.on('request', toNodeHandler(guard.protect(createMcpHandler(() => notes(runs, tool)))));
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  const post = (token: string, body: string) =>
    fetch(resource, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: `Bearer ${token}`,
      },
      body,
    });
  let toolServerId = instead?.toolServerId ?? '';
  if (instead === undefined) {
    const { tool_server, console_url } = await registered.promise;
    toolServerId = tool_server;
    const page = await world.operator.submit(await world.operator.open(console_url), { action: /\/accept$/ });
    if (page.status !== 200) throw new Error(textOf(page.html));
    await guard.ready();
  }
  return {
    resource,
    key,
    name,
    guard,
    toolServerId,
    runs,
    tool,
    post,
    callRaw: (token, called, argumentsText) =>
      post(
        token,
        `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${called}","arguments":${argumentsText}}}`,
      ),
    close: async () => {
      await guard.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

function notes(runs: unknown[], tool: NotesServer['tool']): McpServer {
  const server = new McpServer({ name: 'notes', version: '1.0.0' });
  const said = (text: string) => ({ content: [{ type: 'text' as const, text }] });
  server.registerTool('read_notes', { description: 'Reads', inputSchema: z.object({}) }, () => said('no notes'));
  server.registerTool('erase_notes', { description: 'Erases', inputSchema: z.object({}) }, () => said('gone'));
  const inputSchema = z.object({
    text: z.string(),
    count: z.union([z.number(), z.string()]).optional(),
    tags: z.array(z.string()).optional(),
    ...(tool.hasFolder ? { folder: z.string().optional() } : {}),
  });
  server.registerTool('write_note', { description: tool.description, inputSchema }, (given) => {
    runs.push(given);
    return said('written');
  });
  return server;
}
