import { lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector, type Dispatcher, request } from 'undici';
import {
  FETCH_BYTES_MAX,
  FETCH_CONNECTIONS_PER_HOST_MAX,
  FETCH_HEADER_BYTES_MAX,
  FETCH_TIMEOUT_MS,
  FETCH_URL_CHARACTERS_MAX,
} from './limits.ts';
import { isPublicAddress } from './public_address.ts';

export interface SafeFetchOptions {
  /** Exact `host:port` pairs, or `host:*`, that may be private or plain http, for tests and development. */
  readonly allowedHosts?: readonly string[];
  readonly timeoutMs?: number;
  readonly bytesMax?: number;
  /** Resolves names instead of the system's resolver; what it answers is checked all the same. */
  readonly lookup?: LookupFunction;
}

export interface SafeFetchInit {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** For this document instead of the client's own limit. */
  readonly bytesMax?: number;
  readonly signal?: AbortSignal;
}

export interface SafeFetchResponse {
  readonly status: number;
  /** Names in lower case; repeated headers are joined with a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export type SafeFetch = (url: string | URL, init?: SafeFetchInit) => Promise<SafeFetchResponse>;

export type SafeFetchErrorCode =
  | 'url_refused'
  | 'address_refused'
  | 'redirect_refused'
  | 'encoding_refused'
  | 'too_large'
  | 'timed_out'
  | 'failed';

/**
 * `message` is the same for every cause, so that whoever named the address learns nothing about our network from it.
 * `code` and `cause` are for the operator's log and must not be sent to the caller.
 */
export class SafeFetchError extends Error {
  override readonly name = 'SafeFetchError';
  readonly code: SafeFetchErrorCode;

  constructor(code: SafeFetchErrorCode, cause?: unknown) {
    super('The document could not be fetched.', cause === undefined ? {} : { cause });
    this.code = code;
  }
}

/**
 * A client for addresses that others name: https to public hosts only, no redirects, no compressed bodies, bounded in
 * size and time. Addresses are checked in the URL, after name resolution and again on the connected socket, so that a
 * name cannot be rebound between check and use. It never uses a proxy from the environment.
 */
export function createSafeFetch(options: SafeFetchOptions = {}): SafeFetch {
  const allowedHosts = new Set(options.allowedHosts ?? []);
  const timeoutMs = options.timeoutMs ?? FETCH_TIMEOUT_MS;
  const bytesMax = options.bytesMax ?? FETCH_BYTES_MAX;
  const lookup = options.lookup ?? (systemLookup as LookupFunction);
  const open = new Agent({ ...agentLimits(timeoutMs), connect: { timeout: timeoutMs, lookup } });
  const guarded = new Agent({ ...agentLimits(timeoutMs), connect: publicConnector(timeoutMs, lookup) });

  return async (input, init = {}) => {
    const url = parseUrl(input);
    const isAllowed = allowedHosts.has(hostAndPort(url)) || allowedHosts.has(`${url.hostname}:*`);
    if (!isAllowed) checkPublicUrl(url);
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = init.signal === undefined ? timeout : AbortSignal.any([timeout, init.signal]);
    try {
      return await send(url, init, {
        dispatcher: isAllowed ? open : guarded,
        signal,
        bytesMax: init.bytesMax ?? bytesMax,
      });
    } catch (error) {
      throw asSafeFetchError(error, timeout);
    }
  };
}

interface Sending {
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
  readonly bytesMax: number;
}

async function send(url: URL, init: SafeFetchInit, sending: Sending): Promise<SafeFetchResponse> {
  const response = await request(url, {
    method: init.method ?? 'GET',
    headers: { ...init.headers, 'accept-encoding': 'identity' },
    body: init.body ?? null,
    dispatcher: sending.dispatcher,
    signal: sending.signal,
  });
  try {
    const headers = joinedHeaders(response.headers);
    if (response.statusCode >= 300 && response.statusCode < 400) throw new SafeFetchError('redirect_refused');
    if ((headers['content-encoding'] ?? 'identity') !== 'identity') throw new SafeFetchError('encoding_refused');
    if (Number(headers['content-length'] ?? 0) > sending.bytesMax) throw new SafeFetchError('too_large');
    const body = await readBounded(response.body, sending.bytesMax);
    return { status: response.statusCode, headers, body };
  } catch (error) {
    // Closes the connection: the rest of a refused body is not read.
    response.body.on('error', () => {}).destroy();
    throw error;
  }
}

async function readBounded(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) throw new SafeFetchError('too_large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseUrl(input: string | URL): URL {
  const text = String(input);
  const url = text.length > FETCH_URL_CHARACTERS_MAX ? null : URL.parse(text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.username || url.password) {
    throw new SafeFetchError('url_refused');
  }
  return url;
}

// The URL parser has turned 127.1, 0x7f000001 and the like into plain addresses by now.
function checkPublicUrl(url: URL): void {
  if (url.protocol !== 'https:') throw new SafeFetchError('url_refused');
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  const isPublic = isIP(host) === 0 ? isPublicName(host) : isPublicAddress(host);
  if (!isPublic) throw new SafeFetchError('address_refused');
}

// Names without a dot belong to a search domain, and a final dot evades comparison: neither names a public host.
function isPublicName(name: string): boolean {
  return name.includes('.') && !name.endsWith('.') && !/\.(?:localhost|local|internal|home\.arpa|onion)$/.test(name);
}

function hostAndPort(url: URL): string {
  return `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`;
}

function agentLimits(timeoutMs: number): Agent.Options {
  return {
    connections: FETCH_CONNECTIONS_PER_HOST_MAX,
    maxHeaderSize: FETCH_HEADER_BYTES_MAX,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    keepAliveTimeout: 1_000,
  };
}

function publicConnector(timeoutMs: number, lookup: LookupFunction): buildConnector.connector {
  const connect = buildConnector({ timeout: timeoutMs, lookup: publicLookup(lookup), allowH2: false });
  return (connection, callback) => {
    connect(connection, (error, socket) => {
      if (error !== null) return callback(error, null);
      if (isPublicAddress(socket.remoteAddress ?? '')) return callback(null, socket);
      socket.destroy();
      callback(new SafeFetchError('address_refused'), null);
    });
  };
}

/** One address that is not public spoils the whole answer: a name that mixes them is an attack or a mistake. */
function publicLookup(lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      const addresses = typeof found === 'string' ? [] : found;
      const first = addresses?.[0];
      if (error) return callback(error, []);
      if (first === undefined || !addresses.every(({ address }) => isPublicAddress(address))) {
        return callback(new SafeFetchError('address_refused'), []);
      }
      if (options.all) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}

function joinedHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const joined: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) joined[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value;
  }
  return joined;
}

function asSafeFetchError(error: unknown, timeout: AbortSignal): SafeFetchError {
  if (error instanceof SafeFetchError) return error;
  if (timeout.aborted || /_TIMEOUT$/.test(String((error as { code?: unknown }).code))) {
    return new SafeFetchError('timed_out', error);
  }
  return new SafeFetchError('failed', error);
}
