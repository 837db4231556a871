import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const SECRET = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;

export interface Received {
  readonly id: string;
  readonly type: string;
  readonly data: Record<string, string>;
  /** The signature is that of the secret, over what arrived, and not old. */
  readonly isGenuine: boolean;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly at: number;
}

/** The receiver of somebody else: real HTTP, and its own reading of the specification (Web Crypto, not our code). */
export class Receiver {
  readonly received: Received[] = [];
  /** What to answer; a function that answers nothing lets the sender hang. */
  answer: (response: ServerResponse, received: Received) => void = (response) => response.writeHead(204).end();
  inside = 0;
  insideMost = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(secret = SECRET): Promise<Receiver> {
    const key = await crypto.subtle.importKey(
      'raw',
      Buffer.from(secret.replace('whsec_', ''), 'base64'),
      { name: 'HMAC', hash: 'SHA-256' },
      false,
      ['verify'],
    );
    const server = createServer();
    const receiver = new Receiver(server);
    server.on('request', (request, response) => {
      receiver.inside += 1;
      receiver.insideMost = Math.max(receiver.insideMost, receiver.inside);
      response.on('close', () => {
        receiver.inside -= 1;
      });
      void readMessage(request, key).then((received) => {
        receiver.received.push(received);
        receiver.answer(response, received);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}/hooks`;
  }

  /** Ids in the order in which they came, each as often as it came. */
  ids(type?: string): string[] {
    return this.received.filter((one) => type === undefined || one.type === type).map((one) => one.id);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function readMessage(request: IncomingMessage, key: CryptoKey): Promise<Received> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const id = String(request.headers['webhook-id']);
  const timestamp = String(request.headers['webhook-timestamp']);
  const isFresh = Math.abs(Date.now() / 1000 - Number(timestamp)) < 300;
  let isSigned = false;
  for (const signature of String(request.headers['webhook-signature']).split(' ')) {
    const [version, value = ''] = signature.split(',');
    if (version !== 'v1') continue;
    const content = Buffer.from(`${id}.${timestamp}.${text}`);
    isSigned ||= await crypto.subtle.verify('HMAC', key, Buffer.from(value, 'base64'), content);
  }
  const { type, data } = JSON.parse(text) as { type: string; data: Record<string, string> };
  return { id, type, data, isGenuine: isFresh && isSigned, headers: request.headers, text, at: Date.now() };
}
