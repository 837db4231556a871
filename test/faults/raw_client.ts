import { connect, type Socket } from 'node:net';

/** What became of one connection. */
export interface Ended {
  /** Everything the server sent on it. */
  readonly text: string;
  /** Of the first answer; 0 if there was none. */
  readonly status: number;
  readonly sentBytes: number;
  /** From opening to its end. */
  readonly ms: number;
}

export interface RawClient {
  readonly socket: Socket;
  readonly ended: Promise<Ended>;
  send(text: string): void;
  close(): void;
}

/** A connection that sends just what it is told, as no well-behaved client would. */
export function openRaw(port: number): RawClient {
  const startedAt = performance.now();
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  // A reset after the answer is an end like any other.
  socket.on('error', () => {});
  const ended = new Promise<Ended>((resolve) => {
    socket.once('close', () => {
      const status = Number(/HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
      resolve({ text, status, sentBytes: socket.bytesWritten, ms: performance.now() - startedAt });
    });
  });
  return {
    socket,
    ended,
    send: (part) => {
      if (!socket.destroyed) socket.write(part);
    },
    close: () => socket.destroy(),
  };
}

/** Sends one byte after the other, until the other side has had enough. */
export function drip(client: RawClient, byte: string, everyMs: number): void {
  const timer = setInterval(() => client.send(byte), everyMs);
  void client.ended.then(() => clearInterval(timer));
}

/** Sends as much as the other side takes, up to `bytesMax`, and then waits for its end. */
export async function pour(client: RawClient, part: string, bytesMax: number): Promise<Ended> {
  const { socket } = client;
  while (!socket.destroyed && socket.bytesWritten < bytesMax) {
    if (socket.write(part)) await new Promise(setImmediate);
    else await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), client.ended]);
  }
  return client.ended;
}
