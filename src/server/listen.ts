import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CONNECTIONS_CHECK_MS,
  CONNECTIONS_MAX,
  DRAIN_MS_MAX,
  HEADER_BYTES_MAX,
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  REQUEST_TIMEOUT_MS,
} from './limits.ts';

/** The port cannot be listened on; the message says why and what to do. */
export class ListenError extends Error {
  override name = 'ListenError';
}

export interface Listening {
  readonly port: number;
  /** Stops taking connections, lets running requests end for a bounded time, then closes what is left. */
  close(): Promise<void>;
}

/** Listens with limits on headers, time and connections. `setting` names what the operator would change. */
export async function listen(
  handler: RequestListener,
  options: { readonly host: string; readonly port: number; readonly setting: string },
): Promise<Listening> {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
    },
    handler,
  );
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, options)));
    server.listen(options.port, options.host, resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => close(server) };
}

function explain(
  error: NodeJS.ErrnoException,
  { host, port, setting }: { host: string; port: number; setting: string },
): Error {
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

async function close(server: Server): Promise<void> {
  const timer = setTimeout(() => server.closeAllConnections(), DRAIN_MS_MAX);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(timer);
}
