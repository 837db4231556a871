import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const COME_AGAIN_MS = 300;

/** Many connections to one node, each with one request at a time, that stay open as long as they are asked to. */
export class HeldSockets {
  readonly #sockets: readonly Socket[];

  private constructor(sockets: readonly Socket[]) {
    this.#sockets = sockets;
  }

  static async open(port: number, count: number): Promise<HeldSockets> {
    const sockets: Socket[] = [];
    for (let index = 0; index < count; index += 1) {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.on('error', () => {});
      await once(socket, 'connect');
      sockets.push(socket);
    }
    return new HeldSockets(sockets);
  }

  /** Sends one request on each, one after the other, and waits for its answer. */
  async answered(requestOf: (index: number) => string): Promise<void> {
    for (const [index, socket] of this.#sockets.entries()) {
      const answer = once(socket, 'data');
      socket.write(requestOf(index));
      const [bytes] = (await answer) as [Buffer];
      if (!bytes.includes(' 200 ')) throw new Error(`Answered: ${bytes.toString().slice(0, 500)}`);
    }
  }

  /** One step per request that sends it; nothing waits for an answer, but what comes is kept. */
  send(requests: readonly string[]): {
    readonly sending: readonly (() => void)[];
    readonly received: readonly string[];
  } {
    const received: string[] = [];
    const sending = requests.map((request, index) => () => {
      const socket = this.#sockets[index];
      // A server without room says so at once, and a guard comes again.
      socket?.on('data', (bytes: Buffer) => {
        if (bytes.includes(' 503 ')) setTimeout(() => socket.write(request), COME_AGAIN_MS);
        else received.push(bytes.toString().slice(0, 500));
      });
      socket?.write(request);
    });
    return { sending, received };
  }

  get isWhole(): boolean {
    return this.#sockets.every((socket) => !socket.destroyed && socket.readyState === 'open');
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
