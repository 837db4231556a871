import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { AuthInfo } from '@modelcontextprotocol/server';
import { createGateway, type Gateway, type UpstreamConfig } from '../../src/gateway/index.ts';
import type { Logger } from '../../src/kernel/logger.ts';

export const RAW_SERVER = join(import.meta.dirname, '..', 'fixtures', 'raw_server.mjs');

export interface LogLine {
  readonly level: keyof Logger;
  readonly fields: object;
  readonly message: string;
}

export interface ServedGateway {
  readonly gateway: Gateway;
  readonly url: URL;
  readonly log: readonly LogLine[];
  close(): Promise<void>;
}

export function rawServer(extra: Partial<UpstreamConfig> = {}): UpstreamConfig {
  return { kind: 'stdio', command: process.execPath, args: [RAW_SERVER], ...extra } as UpstreamConfig;
}

/** The gateway over real HTTP, with a stand-in for the guard that believes a header about who is calling. */
export async function serveGateway(
  upstream: UpstreamConfig,
  environment: Record<string, string> = {},
): Promise<ServedGateway> {
  const log: LogLine[] = [];
  const gateway = createGateway({
    upstream,
    log: recordingLogger(log),
    environment: { PATH: process.env.PATH, ...environment },
  });
  const handler = toNodeHandler({
    fetch: async (request) => {
      const text = await request.text();
      const authInfo = authInfoOf(request.headers.get('x-principal'), request.headers.get('x-redemption'));
      const parsedBody = text === '' ? undefined : JSON.parse(text);
      return gateway.fetch(request, { parsedBody, ...(authInfo === undefined ? {} : { authInfo }) });
    },
  });
  const server = createServer((request, response) => void handler(request as never, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`);
  return { gateway, url, log, close: () => closeBoth(server, gateway) };
}

async function closeBoth(server: Server, gateway: Gateway): Promise<void> {
  await gateway.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** `person/task`, both made up by the test. */
export function authInfoOf(principal: string | null, redemptionId: string | null = null): AuthInfo | undefined {
  if (principal === null) return undefined;
  const [requester, task = 'task-1'] = principal.split('/');
  const countersign = {
    requester,
    agent: 'agent-1',
    client_id: 'client-1',
    task,
    request_key: 'k',
    ...(redemptionId === null ? {} : { redemption_id: redemptionId }),
  };
  return { token: 'not-used', clientId: 'client-1', scopes: [], extra: { countersign } };
}

function recordingLogger(lines: LogLine[]): Logger {
  const record = (level: keyof Logger) => (fields: object, message: string) =>
    void lines.push({ level, fields, message });
  return { debug: record('debug'), info: record('info'), warn: record('warn'), error: record('error') };
}

export async function connectV2(url: URL, mode: 'modern' | 'legacy', principal = 'ann'): Promise<ClientV2> {
  const client = new ClientV2(
    { name: 'test', version: '1' },
    { versionNegotiation: { mode: mode === 'modern' ? { pin: '2026-07-28' } : 'legacy' } },
  );
  await client.connect(new TransportV2(url, { requestInit: { headers: { 'x-principal': principal } } }));
  return client;
}

export async function connectV1(url: URL, principal = 'ann'): Promise<ClientV1> {
  const client = new ClientV1({ name: 'test', version: '1' });
  const transport = new TransportV1(url, { requestInit: { headers: { 'x-principal': principal } } });
  // The v1 SDK's types predate exactOptionalPropertyTypes.
  await client.connect(transport as Parameters<ClientV1['connect']>[0]);
  return client;
}

/** One JSON-RPC message without any SDK; `envelope` makes it one of 2026-07-28. */
export async function post(
  url: URL,
  message: object,
  options: { principal?: string; envelope?: boolean; signal?: AbortSignal; headers?: Record<string, string> } = {},
): Promise<Response> {
  const { principal = 'ann', envelope = false, signal, headers = {} } = options;
  const method = (message as { method?: string }).method ?? '';
  return fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': envelope ? '2026-07-28' : '2025-11-25',
      'x-principal': principal,
      ...(envelope ? { 'mcp-method': method, 'mcp-name': nameOf(message) } : {}),
      ...headers,
    },
    body: JSON.stringify(envelope ? withEnvelope(message) : { jsonrpc: '2.0', ...message }),
    ...(signal === undefined ? {} : { signal }),
  });
}

function nameOf(message: object): string {
  const params = (message as { params?: { name?: string; uri?: string } }).params;
  return params?.name ?? params?.uri ?? '';
}

function withEnvelope(message: object): object {
  const params = (message as { params?: { _meta?: object } }).params ?? {};
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
    ...params._meta,
  };
  return { jsonrpc: '2.0', ...message, params: { ...params, _meta: meta } };
}

/** Every JSON-RPC message of a response, plain or streamed, as text. */
export async function messageTexts(response: Response): Promise<string[]> {
  const text = await response.text();
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return text === '' ? [] : [text];
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length));
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
export type Answer = any;

/** The last message: the answer. */
export async function answerOf(response: Response): Promise<Answer> {
  return JSON.parse((await messageTexts(response)).at(-1) ?? 'null');
}

export async function callTool(
  url: URL,
  name: string,
  args: object = {},
  options: Parameters<typeof post>[2] & { id?: number | string } = {},
): Promise<Answer> {
  const { id = 1, ...rest } = options;
  return answerOf(await post(url, { id, method: 'tools/call', params: { name, arguments: args } }, rest));
}

/** An orphan that ended is a zombie until process 1 takes notice, which is none of our business. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return process.platform !== 'linux';
  }
}

export async function until(condition: () => boolean | Promise<boolean>, milliseconds = 5_000): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('The condition did not come true in time.');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
