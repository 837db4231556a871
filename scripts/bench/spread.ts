import { connect, createServer, type Socket } from 'node:net';

export interface Spreader {
  /** Where connections go from now on, one after the other. */
  useOnly(ports: readonly number[]): void;
  close(): Promise<void>;
}

/** The least load balancer: each new connection to the next server. Load itself goes past it. */
export async function startSpreader(port: number): Promise<Spreader> {
  let targets: readonly number[] = [];
  let next = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    const target = connect({ port: targets[next++ % targets.length] ?? 0, host: '127.0.0.1', noDelay: true });
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return {
    useOnly(ports) {
      targets = ports;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
