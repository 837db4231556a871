import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, Server as NetServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, silentLogger } from '../kernel/logger.ts';
import { boundConnections, type Connections } from './connections.ts';
import {
  BACKLOG,
  CONNECTIONS_CHECK_MS,
  CONNECTIONS_MAX,
  DRAIN_MS_MAX,
  HEADER_BYTES_MAX,
  HEADERS_MAX,
  HEADERS_TIMEOUT_MS,
  IDLE_GRACE_MS,
  KEEP_ALIVE_MS,
  REQUEST_TIMEOUT_MS,
  REQUESTS_PER_CONNECTION_MAX,
} from './limits.ts';

/** The port cannot be listened on; the message says why and what to do. */
export class ListenError extends Error {
  override name = 'ListenError';
}

export interface Listening {
  readonly port: number;
  /** Takes no new connections; answers from now on end theirs. Nothing that runs is cut. */
  stopAccepting(): void;
  /** Resolves when every request that is under way was answered, or `msMax` have passed. */
  quiet(msMax: number): Promise<void>;
  /** Stops taking connections, lets running requests end for a bounded time, then closes what is left. */
  close(msMax?: number): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** What the operator would change to choose another port. */
  readonly setting: string;
  readonly connectionsMax?: number;
  readonly log?: Logger;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Listens with limits on headers, time and connections. */
export async function listen(handler: Handler, options: ListenOptions): Promise<Listening> {
  const server = createServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
  });
  // One more than may be, so that a request with too many is seen: the parser drops the rest in silence.
  server.maxHeadersCount = HEADERS_MAX + 1;
  server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION_MAX;
  const connections = boundConnections(server, {
    connectionsMax: options.connectionsMax ?? CONNECTIONS_MAX,
    log: options.log ?? silentLogger,
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (request.rawHeaders.length <= 2 * HEADERS_MAX) handler(request, response);
    else response.writeHead(431, { 'Content-Type': 'text/plain' }).end(`At most ${HEADERS_MAX} header fields.\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, options)));
    server.listen({ port: options.port, host: options.host, backlog: BACKLOG }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  let isAccepting = true;
  const stopAccepting = () => {
    if (isAccepting) NetServer.prototype.close.call(server);
    isAccepting = false;
    connections.endWithAnswers();
  };
  return {
    port,
    stopAccepting,
    async quiet(msMax) {
      const late = new AbortController();
      await Promise.race([connections.quiet(), sleep(msMax, undefined, { signal: late.signal }).catch(() => {})]);
      late.abort();
    },
    async close(msMax = DRAIN_MS_MAX) {
      stopAccepting();
      await endConnections(server, connections, msMax);
    },
  };
}

/** Unused connections end after a moment: who asks on one just now is answered, and told to come by another. */
async function endConnections(server: Server, connections: Connections, msMax: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    if (server.listening) throw new Error('The server listens still.');
    server.getConnections((_error, count) => (count === 0 ? resolve() : server.once('close', resolve)));
  });
  const done = new AbortController();
  const after = (ms: number, act: () => void) => sleep(ms, undefined, { signal: done.signal }).then(act, () => {});
  const steps = [
    after(Math.min(IDLE_GRACE_MS, msMax), () => connections.endUnused()),
    after(msMax, () => server.closeAllConnections()),
  ];
  await closed;
  done.abort();
  await Promise.all(steps);
  connections.stop();
  // Ends Node's own look after slow requests as well.
  server.close();
}

function explain(error: NodeJS.ErrnoException, { host, port, setting }: ListenOptions): Error {
  switch (error.code) {
    case 'EADDRINUSE':
      return new ListenError(
        `Port ${port} on ${host} is in use. Stop what listens there, or choose another port with ${setting}.`,
      );
    case 'EACCES':
      return new ListenError(`Port ${port} may not be used by this user. Choose a port above 1023 with ${setting}.`);
    case 'EADDRNOTAVAIL':
      return new ListenError(`The address ${host} is not one of this machine. Change listen.host.`);
    default:
      return error;
  }
}
