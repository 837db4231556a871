import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const AT_A_TIME = 50;
const COME_AGAIN_MS = 300;

/** Many connections to one node, each with one request at a time, that stay open as long as they are asked to. */
export class HeldSockets {
  readonly #sockets: readonly Socket[];

  private constructor(sockets: readonly Socket[]) {
    this.#sockets = sockets;
  }

  static async open(port: number, count: number): Promise<HeldSockets> {
    const sockets: Socket[] = [];
    while (sockets.length < count) {
      const batch = Array.from({ length: Math.min(AT_A_TIME, count - sockets.length) }, async () => {
        const socket = connect({ port, host: '127.0.0.1', noDelay: true });
        socket.on('error', () => {});
        await once(socket, 'connect');
        return socket;
      });
      sockets.push(...(await Promise.all(batch)));
    }
    return new HeldSockets(sockets);
  }

  /** Sends this request on each, some at a time, and waits for the answers. */
  async answered(request: string): Promise<void> {
    for (let from = 0; from < this.#sockets.length; from += AT_A_TIME) {
      const batch = this.#sockets.slice(from, from + AT_A_TIME).map(async (socket) => {
        const answer = once(socket, 'data');
        socket.write(request);
        const [bytes] = (await answer) as [Buffer];
        if (!bytes.includes(' 200 ')) throw new Error(`Answered: ${bytes.toString().slice(0, 500)}`);
      });
      await Promise.all(batch);
    }
  }

  /**
   * One step per connection that sends its request. A wait that ended, or for which there was no room, is asked for again,
   * as a guard does; any other answer is kept.
   */
  hold(requestOf: (index: number) => Promise<string>): {
    readonly steps: readonly (() => Promise<void>)[];
    readonly problems: readonly string[];
  } {
    const problems: string[] = [];
    const steps = this.#sockets.map((socket, index) => async () => {
      const send = async () => socket.write(await requestOf(index));
      socket.on('data', (bytes: Buffer) => {
        if (bytes.includes(' 503 ')) setTimeout(send, COME_AGAIN_MS);
        else if (bytes.includes('"state":"open"')) void send();
        else problems.push(bytes.toString().slice(0, 500));
      });
      await send();
    });
    return { steps, problems };
  }

  get isWhole(): boolean {
    return this.#sockets.every((socket) => !socket.destroyed && socket.readyState === 'open');
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
