import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';

/** A port nobody listens on now. Somebody may take it before it is used; starting then says so. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
