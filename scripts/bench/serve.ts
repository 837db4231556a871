import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';

/** Listens on loopback, tells the parent that it is ready, and ends when the parent asks or goes away. */
export async function serve(
  port: number,
  handler: RequestListener,
  options: { readonly ready: () => Promise<object>; readonly close: () => Promise<unknown> },
): Promise<void> {
  const server = createServer(handler);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const end = () => {
    server.closeAllConnections();
    options.close().finally(() => process.exit(0));
  };
  process.once('SIGTERM', end);
  process.once('disconnect', end);
  process.send?.(await options.ready());
}
