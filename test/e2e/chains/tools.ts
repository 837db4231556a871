import { createServer } from 'node:http';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { type CallWithApprovalOptions, callTool, type Outcome } from '../../../src/agent/index.ts';
import { freePort } from '../../../src/cli/dev.ts';
import { createGuard, generateGuardKey } from '../../../src/guard/index.ts';
import { createDpopProof, type DpopKey } from '../../../src/wire/dpop_rfc9449.ts';
import type { RiskClass } from '../../../src/wire/manifest.ts';
import { type Organisation, submitted } from './organisation.ts';

export interface Tool {
  readonly risk: RiskClass;
  readonly takes: z.ZodRawShape;
}

export interface ToolServer {
  readonly id: string;
  readonly resource: string;
  /** What really ran, in order. */
  readonly runs: { readonly tool: string; readonly given: unknown }[];
}

export const text = z.string();

/** An MCP server with the guard inside, accepted by Olga. It ends with the organisation. */
export async function startTools(
  { world, olga, closing }: Organisation,
  name: string,
  tools: Readonly<Record<string, Tool>>,
): Promise<ToolServer> {
  const port = await freePort();
  const resource = `http://localhost:${port}/mcp`;
  const runs: ToolServer['runs'] = [];
  const registered = Promise.withResolvers<{ tool_server: string; console_url: string }>();
  const guard = await createGuard({
    issuer: world.issuer,
    resource,
    key: await generateGuardKey(),
    name,
    proposedRisks: Object.fromEntries(Object.entries(tools).map(([tool, { risk }]) => [tool, risk])),
    onRegistration: (answer) => registered.resolve(answer),
  });
  const http = createServer().on(
    'request',
    toNodeHandler(guard.protect(createMcpHandler(() => serverOf(name, tools, runs)))),
  );
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  closing.push(async () => {
    await guard.close();
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  });
  const { tool_server: id, console_url } = await registered.promise;
  await submitted(olga, console_url, /\/accept$/);
  await guard.ready();
  return { id, resource, runs };
}

function serverOf(name: string, tools: Readonly<Record<string, Tool>>, runs: ToolServer['runs']): McpServer {
  const server = new McpServer({ name, version: '1.0.0' });
  for (const [tool, { takes }] of Object.entries(tools)) {
    server.registerTool(tool, { description: `Does ${tool}`, inputSchema: z.object(takes) }, (given) => {
      runs.push({ tool, given });
      return { content: [{ type: 'text', text: `${tool} done` }] };
    });
  }
  return server;
}

export interface Call {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
}

/** One call by a client of the MCP SDK, followed through its approval. */
export async function callAt(
  { resource }: Pick<ToolServer, 'resource'>,
  send: typeof fetch,
  call: Call,
  options: CallWithApprovalOptions & { readonly traceparent?: string | undefined } = {},
): Promise<Outcome<unknown>> {
  const { traceparent, ...following } = options;
  const client = await connected(resource, traced(send, traceparent));
  try {
    return await callTool(client, call, { secondsMax: 30, ...following });
  } finally {
    await client.close();
  }
}

/** The names that this token may see. */
export async function toolsAt({ resource }: Pick<ToolServer, 'resource'>, send: typeof fetch): Promise<string[]> {
  const client = await connected(resource, send);
  try {
    return (await client.listTools()).tools.map(({ name }) => name).sort();
  } finally {
    await client.close();
  }
}

async function connected(resource: string, send: typeof fetch): Promise<Client> {
  const client = new Client({ name: 'member', version: '1.0.0' });
  await client.connect(new StreamableHTTPClientTransport(new URL(resource), { fetch: send }));
  return client;
}

/** Sends this very token, with a proof of its key if it is bound to one; no other is obtained when it is refused. */
export function sendWith(token: string, key?: DpopKey): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const headers = new Headers(request.headers);
    headers.set('authorization', `${key === undefined ? 'Bearer' : 'DPoP'} ${token}`);
    if (key !== undefined) {
      const proof = { htm: request.method, htu: request.url, accessToken: token, nonce: undefined };
      headers.set('dpop', await createDpopProof(key, proof));
    }
    return fetch(new Request(request, { headers }));
  };
}

/** Adds the W3C trace that a request belongs to. */
export function traced(send: typeof fetch, traceparent: string | undefined): typeof fetch {
  if (traceparent === undefined) return send;
  return (input, init) => {
    const headers = new Headers(init?.headers);
    headers.set('traceparent', traceparent);
    return send(input, { ...init, headers });
  };
}

/** What the guard answers to this token now, before anything is decided. */
export async function statusAt({ resource }: Pick<ToolServer, 'resource'>, send: typeof fetch): Promise<number> {
  const response = await send(resource, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }),
  });
  await response.body?.cancel();
  return response.status;
}
