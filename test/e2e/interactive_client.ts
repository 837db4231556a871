import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

/** The clients that people use: MCP SDK v2 in both of its eras, and v1. */
export const KINDS = ['v2 2026-07-28', 'v2 2025-11-25', 'v1'] as const;
export type Kind = (typeof KINDS)[number];

export interface Tokens {
  readonly access_token: string;
  readonly token_type: string;
  readonly refresh_token?: string;
  readonly scope?: string;
}

/** Where a client on this computer waits for the browser to come back. */
export interface Callback {
  readonly address: string;
  /** What the browser brought; waits for it. */
  next(): Promise<URLSearchParams>;
  close(): Promise<void>;
}

export async function listenForCallback(): Promise<Callback> {
  const arrived: URLSearchParams[] = [];
  const waiting: ((params: URLSearchParams) => void)[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://127.0.0.1');
    response.setHeader('content-type', 'text/html').end('<h1>Back in the program</h1>');
    if (url.pathname !== '/callback') return;
    const waiter = waiting.shift();
    if (waiter === undefined) arrived.push(url.searchParams);
    else waiter(url.searchParams);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`,
    next: async () => arrived.shift() ?? new Promise((resolve) => waiting.push(resolve)),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What an application gives the SDK to sign in with: storage, and a way to open a browser. Fits both SDKs. */
export class BrowserProvider {
  readonly redirectUrl: string;
  readonly clientMetadata;
  readonly clientMetadataUrl?: string;
  saved: Tokens | undefined;
  /** Every address the SDK wanted opened. */
  readonly opened: URL[] = [];
  #client: { client_id: string; issuer?: string } | undefined;
  #verifier = '';
  #discovered: unknown;

  /** A client id that is a URL is left to the SDK, which uses it if the server reads metadata documents. */
  constructor(clientId: string, issuer: string, callback: Callback) {
    this.redirectUrl = callback.address;
    this.clientMetadata = { client_name: 'Test', redirect_uris: [callback.address] };
    if (clientId.startsWith('https://')) this.clientMetadataUrl = clientId;
    else this.#client = { client_id: clientId, issuer };
  }

  clientInformation() {
    return this.#client;
  }
  saveClientInformation(client: { client_id: string }) {
    this.#client = client;
  }
  tokens() {
    return this.saved;
  }
  saveTokens(tokens: Tokens) {
    this.saved = tokens;
  }
  redirectToAuthorization(url: URL) {
    this.opened.push(url);
  }
  saveCodeVerifier(verifier: string) {
    this.#verifier = verifier;
  }
  codeVerifier() {
    return this.#verifier;
  }
  invalidateCredentials(scope: string) {
    if (scope === 'all' || scope === 'tokens') this.saved = undefined;
  }
  saveDiscoveryState(state: unknown) {
    this.#discovered = state;
  }
  // biome-ignore lint/suspicious/noExplicitAny: each SDK has a type of its own for what it saved here
  discoveryState(): any {
    return this.#discovered;
  }
}

export interface ToolResult {
  readonly content: readonly { readonly type: string; readonly text?: string }[];
  readonly isError?: boolean;
  readonly _meta?: Record<string, Record<string, unknown>>;
}

/** Given to a call, it makes the SDK send a progress token, so that the call can be held. */
export type OnProgress = (progress: { readonly progress: number }) => void;

/** One connection of one of the SDKs; refusals of the SDK are thrown as they are. */
export interface Connection {
  readonly provider: BrowserProvider;
  connect(): Promise<void>;
  /** Hands over what the browser brought. */
  finishAuth(params: URLSearchParams): Promise<void>;
  toolNames(): Promise<string[]>;
  call(name: string, args: Record<string, unknown>, onprogress?: OnProgress): Promise<ToolResult>;
  close(): Promise<void>;
}

export function newConnection(kind: Kind, resource: string, provider: BrowserProvider): Connection {
  return kind === 'v1' ? connectionV1(resource, provider) : connectionV2(kind, resource, provider);
}

function connectionV2(kind: Kind, resource: string, provider: BrowserProvider): Connection {
  const mode = kind === 'v2 2026-07-28' ? ({ pin: '2026-07-28' } as const) : ('legacy' as const);
  const open = () => new TransportV2(new URL(resource), { authProvider: provider });
  let client = new ClientV2({ name: 'editor', version: '1' }, { versionNegotiation: { mode } });
  let transport = open();
  return {
    provider,
    async connect() {
      client = new ClientV2({ name: 'editor', version: '1' }, { versionNegotiation: { mode } });
      transport = open();
      await client.connect(transport);
    },
    finishAuth: (params) => transport.finishAuth(params),
    toolNames: async () => (await client.listTools()).tools.map((tool) => tool.name).sort(),
    call: async (name, args, onprogress) =>
      (await client.callTool({ name, arguments: args }, held(onprogress))) as unknown as ToolResult,
    close: () => client.close(),
  };
}

function connectionV1(resource: string, provider: BrowserProvider): Connection {
  const open = () => new TransportV1(new URL(resource), { authProvider: provider });
  let client = new ClientV1({ name: 'editor', version: '1' });
  let transport = open();
  return {
    provider,
    async connect() {
      client = new ClientV1({ name: 'editor', version: '1' });
      transport = open();
      // The v1 SDK's types predate exactOptionalPropertyTypes.
      await client.connect(transport as Parameters<ClientV1['connect']>[0]);
    },
    finishAuth: (params) => transport.finishAuth(params.get('code') ?? ''),
    toolNames: async () => (await client.listTools()).tools.map((tool) => tool.name).sort(),
    call: async (name, args, onprogress) =>
      (await client.callTool({ name, arguments: args }, undefined, held(onprogress))) as unknown as ToolResult,
    close: () => client.close(),
  };
}

function held(onprogress: OnProgress | undefined) {
  return onprogress === undefined ? {} : { onprogress };
}

export function words(result: ToolResult): string {
  return result.content.map((block) => block.text ?? '').join('\n');
}
