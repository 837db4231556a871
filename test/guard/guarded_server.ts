import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import {
  createGuard,
  type Guard,
  type GuardOptions,
  generateGuardKey,
  type McpHandler,
} from '../../src/guard/index.ts';
import { FakeIssuer } from './fake_issuer.ts';

export interface GuardedServer {
  readonly issuer: FakeIssuer;
  readonly guard: Guard;
  readonly resource: string;
  /** The arguments of every run of write_note, in order. */
  readonly runs: { text: string; idempotencyKey: unknown; principal: unknown }[];
  /** What write_note does beside recording its run. */
  work: (signal: AbortSignal) => Promise<void> | void;
  /** Posts one body as it is. */
  post(body: string, headers?: Record<string, string>, signal?: AbortSignal): Promise<Response>;
  /** A 2025 tools/call by hand. */
  call(
    name: string,
    args: object,
    options?: { id?: number | string; meta?: object; signal?: AbortSignal },
  ): Promise<Response>;
  close(): Promise<void>;
}

interface Options {
  readonly guard?: Partial<GuardOptions>;
  readonly handler?: (server: GuardedServer) => McpHandler;
  readonly isPending?: boolean;
}

/** A small MCP server of SDK v2 behind a guard, with a fake issuer. */
export async function startGuardedServer(options: Options = {}): Promise<GuardedServer> {
  const issuer = await FakeIssuer.start();
  issuer.gated.add('write_note');
  issuer.visible = ['read_notes', 'write_note'];
  if (options.isPending) issuer.registrationState = 'pending';
  const http: Server = createServer();
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const resource = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`;
  const guard = await createGuard({ issuer: issuer.url, resource, key: await generateGuardKey(), ...options.guard });
  const server: GuardedServer = {
    issuer,
    guard,
    resource,
    runs: [],
    work: () => {},
    async post(body, headers = {}, signal) {
      return fetch(resource, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          authorization: `Bearer ${await issuer.token()}`,
          ...headers,
        },
        body,
        ...(signal === undefined ? {} : { signal }),
      });
    },
    call(name, args, { id = 1, meta, signal } = {}) {
      const params = { name, arguments: args, ...(meta === undefined ? {} : { _meta: meta }) };
      return server.post(JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params }), {}, signal);
    },
    async close() {
      await guard.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await issuer.close();
    },
  };
  const handler = options.handler?.(server) ?? createMcpHandler(() => notesServer(server));
  http.on('request', toNodeHandler(guard.protect(handler)));
  issuer.resource = resource;
  if (!options.isPending) await guard.ready();
  return server;
}

export function notesServer(server: GuardedServer): McpServer {
  const mcp = new McpServer({ name: 'notes', version: '1.0.0' });
  mcp.registerTool('read_notes', { description: 'Reads the notes', inputSchema: z.object({}) }, () => ({
    content: [{ type: 'text', text: 'no notes yet' }],
  }));
  mcp.registerTool('hidden_tool', { description: 'Not in the task', inputSchema: z.object({}) }, () => ({
    content: [{ type: 'text', text: 'hidden' }],
  }));
  mcp.registerTool(
    'write_note',
    { description: 'Writes a note', inputSchema: z.object({ text: z.string() }) },
    async ({ text }, context) => {
      const meta = context.mcpReq._meta as Record<string, unknown> | undefined;
      server.runs.push({
        text,
        idempotencyKey: meta?.['countersign/idempotency_key'],
        principal: context.http?.authInfo?.extra?.countersign,
      });
      await server.work(context.mcpReq.signal);
      return { content: [{ type: 'text', text: `wrote ${text}` }] };
    },
  );
  mcp.registerResource('note', 'note://one', {}, () => ({ contents: [{ uri: 'note://one', text: 'secret' }] }));
  return mcp;
}

export interface Answer {
  readonly id: unknown;
  readonly result: {
    readonly content: { readonly text: string }[];
    readonly isError?: boolean;
    readonly tools: { readonly name: string }[];
    readonly _meta: Record<string, { readonly [name: string]: unknown }>;
  };
  readonly error?: { readonly code: number; readonly message: string; readonly data?: { readonly error?: string } };
}

/** The one JSON-RPC answer of a response, be it JSON or an event stream. */
export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return JSON.parse(text);
  const messages = text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)));
  return messages.find((message) => message.result !== undefined || message.error !== undefined);
}
