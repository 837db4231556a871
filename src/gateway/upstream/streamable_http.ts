import { Agent, type Dispatcher, request } from 'undici';
import type { Logger } from '../../kernel/logger.ts';
import { HTTP_CLOSE_MS_MAX, HTTP_CONNECT_MS_MAX, HTTP_ERROR_BODY_BYTES_MAX, MESSAGE_BYTES_MAX } from '../limits.ts';
import type { OpenTransport, Transport, TransportEvents } from './connection.ts';
import { listenForNotifications } from './http_listen.ts';
import { parseEvents } from './sse_parser.ts';
import { notSent, outcomeUnknown, UPSTREAM_UNAVAILABLE_CODE, UpstreamError } from './upstream_error.ts';

export interface HttpEndpoint {
  readonly url: URL;
  /** The upstream's own credentials, from the configuration. The caller's token never goes there. */
  readonly headers: Readonly<Record<string, string>>;
}

const SESSION_ID = /^[\x21-\x7e]{1,1024}$/;
const NEVER_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/** MCP 2025-11-25 over Streamable HTTP, with the server's session if it keeps one. Redirects are never followed. */
export function streamableHttpTransport(endpoint: HttpEndpoint, log: Logger): OpenTransport {
  return (events) => new HttpTransport(endpoint, events, log);
}

class HttpTransport implements Transport {
  readonly #endpoint: HttpEndpoint;
  readonly #events: TransportEvents;
  readonly #log: Logger;
  // The peer keeps the time of requests, progress included.
  readonly #agent = new Agent({ connect: { timeout: HTTP_CONNECT_MS_MAX }, headersTimeout: 0, bodyTimeout: 0 });
  readonly #aborts = new Map<number, AbortController>();
  readonly #closing = new AbortController();
  #sessionId: string | undefined;
  #protocolVersion: string | undefined;
  #initialized: Promise<void> | undefined;
  #hasEnded = false;

  constructor(endpoint: HttpEndpoint, events: TransportEvents, log: Logger) {
    this.#endpoint = endpoint;
    this.#events = events;
    this.#log = log;
  }

  setProtocolVersion(version: string): void {
    this.#protocolVersion = version;
  }

  send(text: string, requestId: number | undefined): void {
    if (requestId !== undefined) {
      void this.#sendRequest(text, requestId);
      return;
    }
    const sent = this.#sendNotification(text);
    // The first one is `notifications/initialized`: nothing goes before it, and the server may speak after it.
    if (this.#initialized !== undefined) return;
    this.#initialized = sent;
    void sent.then(() => {
      if (this.#hasEnded) return;
      void listenForNotifications({
        open: (signal) => this.#exchange('GET', undefined, signal),
        onData: this.#events.onMessage,
        signal: this.#closing.signal,
        log: this.#log,
      });
    });
  }

  abandon(requestId: number): void {
    this.#aborts.get(requestId)?.abort();
  }

  async close(): Promise<void> {
    if (this.#hasEnded) return;
    if (this.#sessionId !== undefined) {
      await this.#exchange('DELETE', undefined, AbortSignal.timeout(HTTP_CLOSE_MS_MAX))
        .then((response) => response.body.dump())
        .catch(() => {});
    }
    await this.#end('the gateway closed it');
  }

  async #sendRequest(text: string, id: number): Promise<void> {
    const abort = new AbortController();
    this.#aborts.set(id, abort);
    try {
      await this.#initialized;
      const response = await this.#exchange('POST', text, abort.signal);
      await this.#readAnswer(response, id, abort);
      this.#events.onRequestFailed(id, outcomeUnknown('The tool server ended its response without an answer.'));
    } catch (error) {
      this.#events.onRequestFailed(id, requestError(error));
    } finally {
      this.#aborts.delete(id);
    }
  }

  async #readAnswer(response: Dispatcher.ResponseData, id: number, abort: AbortController): Promise<void> {
    if (response.statusCode === 404 && this.#sessionId !== undefined) {
      await response.body.dump();
      const why = 'it no longer knows the session';
      this.#events.onRequestFailed(id, notSent(`The tool server did not run the call: ${why}. Call again.`));
      await this.#end(why);
      return;
    }
    const session = response.headers['mcp-session-id'];
    if (this.#sessionId === undefined && typeof session === 'string' && SESSION_ID.test(session)) {
      this.#sessionId = session;
    }
    if (response.statusCode !== 200) throw await statusError(response, this.#events.onMessage);
    if (String(response.headers['content-type']).startsWith('text/event-stream')) {
      const tooLong = () => abort.abort(new Error(`A message of the tool server is over ${MESSAGE_BYTES_MAX} bytes.`));
      const parse = parseEvents(MESSAGE_BYTES_MAX, this.#events.onMessage, tooLong);
      for await (const chunk of response.body) parse(chunk as Buffer);
      return;
    }
    this.#events.onMessage(await readText(response, MESSAGE_BYTES_MAX));
  }

  async #sendNotification(text: string): Promise<void> {
    try {
      const response = await this.#exchange('POST', text, AbortSignal.timeout(HTTP_CONNECT_MS_MAX));
      await response.body.dump();
    } catch (error) {
      this.#log.debug({ error: (error as Error).message }, 'A notification did not reach the tool server.');
    }
  }

  #exchange(method: 'GET' | 'POST' | 'DELETE', body: string | undefined, signal: AbortSignal) {
    const accept = method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream';
    return request(this.#endpoint.url, {
      method,
      headers: {
        ...this.#endpoint.headers,
        accept,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.#sessionId === undefined ? {} : { 'mcp-session-id': this.#sessionId }),
        ...(this.#protocolVersion === undefined ? {} : { 'mcp-protocol-version': this.#protocolVersion }),
      },
      ...(body === undefined ? {} : { body }),
      signal,
      dispatcher: this.#agent,
    });
  }

  async #end(why: string): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#closing.abort();
    this.#events.onExit(why);
    for (const abort of this.#aborts.values()) abort.abort();
    await this.#agent.destroy();
  }
}

async function statusError(response: Dispatcher.ResponseData, onMessage: (text: string) => void): Promise<Error> {
  const status = response.statusCode;
  const body = await readText(response, HTTP_ERROR_BODY_BYTES_MAX).catch(() => '');
  if (status >= 500) return outcomeUnknown(`The tool server answered HTTP ${status}; what it did before is not known.`);
  if (status === 401 || status === 403) {
    return notSent(
      `The tool server refused the gateway (HTTP ${status}). Its operator must check the configured headers.`,
    );
  }
  if (status >= 300 && status < 400)
    return notSent(`The tool server redirects (HTTP ${status}), which is never followed.`);
  // 2025 servers put JSON-RPC errors into responses with an error status; one that names the request settles it.
  onMessage(body);
  return new UpstreamError('answered', UPSTREAM_UNAVAILABLE_CODE, `The tool server answered HTTP ${status}.`);
}

function requestError(error: unknown): Error {
  if (error instanceof UpstreamError) return error;
  const { code, message } = error as { readonly code?: unknown; readonly message: string };
  if (typeof code === 'string' && NEVER_CONNECTED.has(code))
    return notSent(`The tool server is out of reach: ${code}.`);
  return outcomeUnknown(`The connection to the tool server broke during the call: ${message}`);
}

async function readText(response: Dispatcher.ResponseData, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += (chunk as Buffer).length;
    if (length > bytesMax) throw outcomeUnknown(`The answer of the tool server is over ${bytesMax} bytes.`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}
